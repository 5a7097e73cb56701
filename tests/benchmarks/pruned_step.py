"""What structured pruning makes of the token step at the size of released models. Prints JSON.

Run by hand, on a quiet machine; pytest does not collect it:

    python tests/benchmarks/pruned_step.py --out /tmp/pruned [--mlp 0.5] [--heads 0.25] [--layers 24] [--cache-rows 256]

Weights are seeded random numbers, and the units that go are those of the smallest norms: this says what a step costs
and nothing of quality. Both steps are converted like any other, each in a process of its own, and run by turns in one
process, in float32 and with int8 weights.
"""

from __future__ import annotations

import argparse
import json
import pickle
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]


def pruned(model: Any, mlp: float, heads: float) -> Any:
    """The model without its smallest channels and heads."""
    from toolkit.models.gpt_sovits.semantic import load_semantic
    from toolkit.prune.groups import cut, semantic_groups
    from toolkit.prune.importance import magnitude_scores
    from toolkit.prune.selection import channels_to_keep, heads_to_keep

    sizes = model.config
    scores = magnitude_scores(model.state_dict(), semantic_groups(sizes))
    left = round(sizes.heads * (1.0 - heads))
    keeps = channels_to_keep(
        {group: score for group, score in scores.items() if group.kind == "mlp"},
        round(sum(sizes.inners) * (1.0 - mlp)),
        multiple=8,
        smallest={f"h.layers.{layer}": sizes.inners[layer] // 8 for layer in range(sizes.layers)},
    )
    if left < sizes.heads:
        keeps |= heads_to_keep({group: score for group, score in scores.items() if group.kind == "heads"}, left)
    return load_semantic(cut(model.state_dict(), keeps), heads=left)


def convert_one(arguments: argparse.Namespace) -> None:
    """Converts one step in this process and writes it with a probe."""
    import torch
    from semantic_full_size import THREADS, full_size_model

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
    model = full_size_model(arguments.layers)
    if arguments.convert == "pruned":
        model = pruned(model, arguments.mlp, arguments.heads)
    parameters = sum(value.numel() for value in model.parameters())
    (graph,) = semantic_graphs(model, SemanticBuckets(prefill=(), cache_rows=(arguments.cache_rows,)))
    del model
    rewritten = rewrite(export(graph.module, graph.spec), graph.spec)
    relayered = relayer(to_keras(rewritten.model, rewritten.interface))
    content = to_tflite(relayered.model, relayered.interface)
    expected, run = torch_runner(graph.module, graph.spec), tflite_runner(content, relayered.interface)
    report = parity.compare(expected(graph.probes[0]), run(graph.probes[0]))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{arguments.convert}.tflite").write_bytes(content)
    (arguments.out / f"{arguments.convert}.pickle").write_bytes(pickle.dumps((relayered.interface, graph.probes[0])))
    found = {"parameters": parameters, "snr_db": min(each.snr_db for each in report.tensors.values())}
    (arguments.out / f"{arguments.convert}.json").write_text(json.dumps(found))


def measure(out: Path, rounds: int) -> dict[str, Any]:
    """Times both steps by turns."""
    from semantic_full_size import _Step

    from converters.tflite_graph.int8_weights import int8_weights

    sides: dict[tuple[str, str], Any] = {}
    found: dict[str, Any] = {}
    for which in ("whole", "pruned"):
        content = (out / f"{which}.tflite").read_bytes()
        interface, probe = pickle.loads((out / f"{which}.pickle").read_bytes())
        feeds = {name: interface.layouts[name].to_target(array) for name, array in probe.items()}
        small = int8_weights(content, lambda op: True)
        sides[which, "float32"] = _Step(content, feeds, xnnpack=True)
        sides[which, "int8 weights"] = _Step(small, feeds, xnnpack=True)
        found[which] = json.loads((out / f"{which}.json").read_text())
        found[which]["bytes"] = {"float32": len(content), "int8 weights": len(small)}
    times: dict[tuple[str, str], list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, step in sides.items():
            times[side].append(step.milliseconds())
    for precision in ("float32", "int8 weights"):
        for which in ("whole", "pruned"):
            found[which].setdefault("step_ms", {})[precision] = round(statistics.median(times[which, precision]), 2)
        ratios = [a / b for a, b in zip(times["pruned", precision], times["whole", precision], strict=True)]
        found[f"pruned_over_whole, {precision}"] = round(statistics.median(ratios), 3)
    return found


def main() -> None:
    """Converts both, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--cache-rows", type=int, default=256)
    parser.add_argument("--mlp", type=float, default=0.5)
    parser.add_argument("--heads", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--measure-only", action="store_true", help="use the files a run left in --out")
    parser.add_argument("--convert", choices=("whole", "pruned"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.convert:
        convert_one(arguments)
        return
    for name in () if arguments.measure_only else ("whole", "pruned"):
        command = [sys.executable, __file__, "--convert", name, "--out", str(arguments.out)]
        for option in ("layers", "cache_rows", "mlp", "heads"):
            command += [f"--{option.replace('_', '-')}", str(getattr(arguments, option))]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    told = {name: getattr(arguments, name) for name in ("layers", "cache_rows", "mlp", "heads")}
    sys.stdout.write(json.dumps(told | measure(arguments.out, arguments.rounds), indent=2) + "\n")


if __name__ == "__main__":
    main()
