"""Text-to-semantic graphs at the size of released models: conversion, parity, and what a token costs. Prints JSON.

Run by hand, on a quiet machine; pytest does not collect it:

    python tests/benchmarks/semantic_full_size.py --out /tmp/t2s [--layers 24] [--cache-rows 512]

Weights are seeded random numbers (24 layers, width 512, 16 heads, 2048 inner features): they say what it costs, never
how it sounds. Each graph is converted in a process of its own, whose time and ``ru_maxrss`` are reported. The step is
then run in float32 and with int8 weights, alternating in one process; copying memory is timed between them.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
THREADS = 2
COPIED_BYTES = 128 << 20


def full_size_model(layers: int, seed: int = 0) -> Any:
    """A model of random weights whose activations stay sane: unit embeddings, unit-gain matrices, norms near one."""
    import numpy as np
    import torch

    from toolkit.models.gpt_sovits.semantic import load_semantic
    from toolkit.models.gpt_sovits.semantic_config import SemanticConfig, semantic_shapes

    config = SemanticConfig(width=512, heads=16, layers=layers, inner=2048, symbols=732, vocabulary=1025)
    draw = np.random.default_rng(seed)
    weights = {}
    for name, shape in semantic_shapes(config).items():
        values = draw.standard_normal(shape)
        if name.endswith("alpha"):
            values = np.ones(shape)
        elif "norm" in name and name.endswith("weight"):
            values = 1 + 0.1 * values
        elif len(shape) == 1:
            values = 0.05 * values
        elif "embedding" not in name:
            values = values * shape[1] ** -0.5
        weights[name] = torch.from_numpy(values.astype(np.float32))
    return load_semantic(weights, heads=config.heads)


def convert_one(arguments: argparse.Namespace) -> dict[str, Any]:
    """Converts one graph in this process and writes it with its probes."""
    import torch

    from converters import parity
    from converters.keras_graph.relayer import relayer
    from converters.keras_to_tflite import to_tflite
    from converters.onnx_graph.pipeline import rewrite
    from converters.onnx_to_keras import to_keras
    from converters.tflite_graph.run import tflite_runner
    from converters.torch_run import torch_runner
    from converters.torch_to_onnx import export
    from toolkit.models.gpt_sovits.semantic_graphs import SemanticBuckets, semantic_graphs

    torch.set_num_threads(THREADS)
    buckets = SemanticBuckets(
        prefill=((192, 128),) if arguments.convert == "prefill" else (),
        cache_rows=(arguments.cache_rows,) if arguments.convert == "step" else (),
    )
    (graph,) = semantic_graphs(full_size_model(arguments.layers), buckets)
    expected = [torch_runner(graph.module, graph.spec)(probe) for probe in graph.probes]
    started, stages = time.perf_counter(), {}

    def done(name: str) -> None:
        status = Path("/proc/self/status").read_text()
        now = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        stages[name] = {
            "seconds": round(time.perf_counter() - started, 1),
            "rss_gb": round(int(now.split()[1]) / 2**20, 2),
            "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        }

    done("model")
    exported = export(graph.module, graph.spec)
    done("torch to ONNX")
    rewritten = rewrite(exported, graph.spec)
    del exported
    done("rewrite ONNX")
    stage = to_keras(rewritten.model, rewritten.interface)
    del rewritten
    done("onnx2tf")
    relayered = relayer(stage)
    del stage
    done("trainable Keras")
    content = to_tflite(relayered.model, relayered.interface)
    done("TFLite")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{arguments.convert}.tflite").write_bytes(content)
    (arguments.out / f"{arguments.convert}.pickle").write_bytes(pickle.dumps((relayered.interface, graph.probes)))
    run = tflite_runner(content, relayered.interface)
    reports = [parity.compare(e, run(p)) for e, p in zip(expected, graph.probes, strict=True)]
    return {
        "graph": graph.name,
        "stages": stages,
        "bytes": len(content),
        "snr_db": {name: min(r.tensors[name].snr_db for r in reports) for name in reports[0].tensors},
    }


class _Compiled:
    """The step as the engine runs it: a compiled model, in a file with the prefill, inputs in memory it lends."""

    def __init__(self, path: Path, spec: Any, layouts: Any, feeds: dict[str, Any]) -> None:
        from toolkit.engine.bundle import GraphFact, TensorFact
        from toolkit.engine.compiled import CompiledFile

        tensors = {
            tensor.name: TensorFact(role=role, dtype=tensor.dtype, layout=layouts[tensor.name])
            for role, group in (("input", spec.inputs), ("output", spec.outputs))
            for tensor in group
        }
        fact = GraphFact(
            name="t2s_step_1", kind="t2s_step", length=1, file=path.name, signature="step", tensors=tensors
        )
        self.graph = CompiledFile(path, threads=THREADS).graph(fact)
        self.graph.run(feeds)
        self.small = {name: value for name, value in feeds.items() if "cache" not in name}

    def milliseconds(self) -> float:
        self.graph.run(self.small)
        started = time.perf_counter()
        for _ in range(3):
            self.graph.run(self.small)
        return (time.perf_counter() - started) / 3 * 1e3


class _Step:
    """A step graph whose inputs are set once, so that only the kernels are timed."""

    def __init__(self, content: bytes, feeds: dict[str, Any], *, xnnpack: bool) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self.interpreter = Interpreter(
            model_content=content, num_threads=THREADS, experimental_op_resolver_type=kernels
        )
        self.interpreter.allocate_tensors()
        (key,) = self.interpreter.get_signature_list()
        names = self.interpreter._get_full_signature_list()[key]["inputs"]
        for name, index in names.items():
            self.interpreter.set_tensor(index, feeds[name])

    def milliseconds(self) -> float:
        self.interpreter.invoke()
        started = time.perf_counter()
        for _ in range(3):
            self.interpreter.invoke()
        return (time.perf_counter() - started) / 3 * 1e3


def measure(out: Path, rounds: int) -> dict[str, Any]:
    """Times the step in both precisions, on XNNPACK and on the plain kernels, with a memory copy in every round."""
    import numpy as np

    from converters.tflite_graph.int8_weights import int8_weights
    from converters.tflite_graph.merge import merge_signatures

    single = (out / "step.tflite").read_bytes()
    interface, probes = pickle.loads((out / "step.pickle").read_bytes())
    feeds = {name: interface.layouts[name].to_target(array) for name, array in probes[0].items()}
    small = int8_weights(single, lambda op: True)
    found_sizes: dict[str, int] = {}
    sides: dict[str, Any] = {
        f"{precision}, {kernels}": _Step(content, feeds, xnnpack=kernels == "XNNPACK")
        for precision, content in (("float32", single), ("int8 weights", small))
        for kernels in ("XNNPACK", "plain kernels")
    }
    if (out / "prefill.tflite").is_file():
        prefill = (out / "prefill.tflite").read_bytes()
        for precision, content, beside in (
            ("float32", single, prefill),
            ("int8 weights", small, int8_weights(prefill, lambda op: True)),
        ):
            path = out / f"merged {precision}.tflite"
            path.write_bytes(merge_signatures([("prefill", beside), ("step", content)]))
            found_sizes[precision] = path.stat().st_size
            sides[f"{precision}, engine"] = _Compiled(path, interface.spec, interface.layouts, feeds)
        del prefill, beside
    halves = [np.ones(COPIED_BYTES // THREADS, np.uint8) for _ in range(THREADS)]
    targets = [np.ones_like(half) for half in halves]
    times: dict[str, list[float]] = {name: [] for name in (*sides, "copy")}
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(rounds):
            for name, step in sides.items():
                times[name].append(step.milliseconds())
            started = time.perf_counter()
            list(pool.map(np.copyto, targets, halves))
            times["copy"].append((time.perf_counter() - started) * 1e3)
    median = {name: statistics.median(values) for name, values in times.items()}
    copied = COPIED_BYTES / median["copy"] / 1e6
    found: dict[str, Any] = {
        "step_ms": {name: round(value, 2) for name, value in median.items()},
        "step_bytes": {"float32": len(single), "int8 weights": len(small)},
        "copy_gb_per_second": round(copied, 2),
    }
    for kernels in ("XNNPACK", "plain kernels", *(("engine",) if found_sizes else ())):
        ratios = [a / b for a, b in zip(times[f"int8 weights, {kernels}"], times[f"float32, {kernels}"], strict=True)]
        moved = len(small) / median[f"int8 weights, {kernels}"] / 1e6
        found[kernels] = {
            "int8_over_float32": round(statistics.median(ratios), 3),
            "weights_gb_per_second": round(moved, 2),
            "of_copy_bandwidth": round(moved / copied, 3),
        }
    return found | {"prefill_and_step_bytes": found_sizes}


def main() -> None:
    """Converts both graphs, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--cache-rows", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--measure-only", action="store_true", help="use the files a run left in --out")
    parser.add_argument("--convert", choices=("prefill", "step"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.convert:
        sys.stdout.write(json.dumps(convert_one(arguments)))
        return
    results: dict[str, Any] = {"layers": arguments.layers, "cache_rows": arguments.cache_rows, "threads": THREADS}
    for name in () if arguments.measure_only else ("prefill", "step"):
        command = [sys.executable, __file__, "--convert", name, "--out", str(arguments.out)]
        command += ["--layers", str(arguments.layers), "--cache-rows", str(arguments.cache_rows)]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        results[name] = json.loads(done.stdout.splitlines()[-1])
    results |= measure(arguments.out, arguments.rounds)
    sys.stdout.write(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
