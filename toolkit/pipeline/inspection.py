"""What ``toolkit inspect`` shows of a TFLite file or a checkpoint."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.parity import TensorParity
from converters.tflite_graph.read import TfliteGraph, read_tflite
from toolkit.delegates.arm_kernels import LABEL as ARM_LABEL
from toolkit.delegates.arm_kernels import execute_on_arm
from toolkit.delegates.arm_root import find_arm_root
from toolkit.delegates.float16_arithmetic import ACCUMULATED
from toolkit.delegates.float16_emulation import emulate_float16
from toolkit.delegates.levels import DEPRECATION_NOTE, parse_level
from toolkit.delegates.made_inputs import brought_inputs, made_inputs
from toolkit.delegates.place import place_graph
from toolkit.delegates.runtime import runtime_need
from toolkit.delegates.software_gpu import LABEL, Executed, execute_on_gpu
from toolkit.pipeline.evidence import DELEGATES
from toolkit.pipeline.gpu_execution import float16_estimate
from toolkit.results import DelegateName, Placement

PLACEMENTS: dict[str, DelegateName] = {**DELEGATES, "gpu-classic": "gpu_classic", "coreml": "coreml"}
"""What ``--delegate`` takes, to the placement it shows."""

if TYPE_CHECKING:
    from toolkit.models.gpt_sovits.checkpoint import Checkpoint


def inspect_tflite(path: Path, delegate: str | None, android: str) -> dict[str, Any]:
    """Operators, precision, sizes and, when a delegate is named, its placement.

    Raises:
        InputError: the file is missing, damaged or foreign.
        DelegateError: the delegate or level is unknown.
    """
    graph = read_tflite(path)
    level = parse_level(android)
    placement = place_graph(graph, path.stem, PLACEMENTS[delegate or "xnnpack"], level=level)
    macs = {op.index: op.macs or 0 for op in placement.ops}
    found: dict[str, Any] = {
        "path": str(path),
        "size_bytes": path.stat().st_size,
        "graphs": graph.graphs,
        "macs": sum(macs.values()),
        "runtime": runtime_need(path, path.name).model_dump(mode="json"),
        "tensors": [*_tensors(graph, graph.inputs, "input"), *_tensors(graph, graph.outputs, "output")],
        "ops": [
            {
                "index": op.index,
                "op": op.kind,
                "name": op.name,
                "macs": macs.get(op.index, 0),
                "precision": _precision(graph, op),
            }
            for op in graph.ops
        ],
    }
    if delegate is not None:
        found["placement"] = _placement(placement, delegate)
    return found


def _inputs(path: Path, given: Path | None) -> tuple[TfliteGraph, dict[str, np.ndarray], str]:
    """The graph, what it is run on, and what that is."""
    graph = read_tflite(path)
    if given is None:
        return graph, made_inputs(graph), "seeded noise, masks full"
    return graph, brought_inputs(graph, given), f"inputs from {given.name}"


def execute_on_arm_kernels(path: Path, given: Path | None, root: Path | None, cpu: str) -> dict[str, Any]:
    """A file on XNNPACK's ARM kernels under emulation, against this machine's reference kernels and XNNPACK.

    Args:
        path: the file.
        given: ``.npz`` of inputs; seeded noise when ``None``.
        root: folder with the ARM Python; the default one when ``None``.
        cpu: core that is emulated.

    Raises:
        InputError: the file or the inputs are missing, damaged or foreign.
        DelegateError: there is no ARM Python, or a run ended without an answer.
    """
    arm = find_arm_root(root)
    _, inputs, what = _inputs(path, given)
    ran = execute_on_arm(path, inputs, arm, cpu=cpu)
    return {
        "how": ARM_LABEL,
        "cpu": ran.cpu,
        "inputs": what,
        "delegated": ran.delegated,
        "judgement": ran.judgement,
        "outputs": {
            name: {
                "against_reference": _agreement(output.against_reference),
                "against_host": _agreement(output.against_host),
                "host_against_reference": _agreement(output.host_against_reference),
                "judgement": output.judgement,
            }
            for name, output in ran.outputs.items()
        },
    }


def _agreement(found: TensorParity) -> str:
    return "identical" if found.max_abs == 0.0 else f"{found.snr_db:.1f} dB"


def execute_tflite(path: Path, given: Path | None = None, *, computed: bool = True) -> dict[str, Any]:
    """A file on LiteRT's GPU accelerator, and what float16 would cost it on a phone's GPU.

    Args:
        path: the file.
        given: ``.npz`` of inputs; seeded noise when ``None``.
        computed: whether it is run; otherwise the accelerator only takes or refuses its operators.

    Raises:
        InputError: the file or the inputs are missing, damaged or foreign.
        DelegateError: no software GPU is installed, or its process ended without an answer.
    """
    if not computed:
        return {**_execution(execute_on_gpu(path, computed=False)), "inputs": "nothing: placed, not computed"}
    graph, inputs, what = _inputs(path, given)
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "inputs.npz"
        np.savez(arrays, **inputs)  # type: ignore[arg-type]
        result = execute_on_gpu(path, arrays=arrays)
    found = {**_execution(result), "inputs": what}
    if any(op.kind in ACCUMULATED and graph.tensors[op.outputs[0]].dtype == "FLOAT32" for op in graph.ops):
        found["float16"] = float16_estimate(emulate_float16(path, inputs)).model_dump(mode="json")
    return found


def _execution(result: Executed) -> dict[str, Any]:
    levels = {name: error.snr_db for name, error in result.outputs.items()}
    return {
        "how": LABEL,
        "accepted": result.accepted,
        "reason": result.reason,
        "gpu_ops": result.gpu_ops,
        "cpu_ops": result.cpu_ops,
        "judgement": result.judgement,
        "snr_db": {n: round(level, 1) if math.isfinite(level) else str(level) for n, level in levels.items()},
    }


def inspect_checkpoint(path: Path) -> dict[str, Any]:
    """Half of the model, version, parts, parameters and sizes of a GPT-SoVITS checkpoint.

    Raises:
        CheckpointError: the file is missing, damaged, foreign or of a version that does not convert.
    """
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint

    found = read_checkpoint(path)
    return {
        "path": str(path),
        "size_bytes": found.size_bytes,
        "sha256": found.sha256,
        "kind": found.kind,
        "version": found.version,
        "info": found.info,
        "dtype": found.dtype,
        "has_posterior_encoder": found.has_posterior_encoder,
        "tensors": len(found.weights),
        "parameters": sum(found.parameters.values()),
        "parts": found.parameters,
        **({} if found.kind != "gpt" else {"transformer": _transformer(found)}),
    }


def inspect_voice(path: Path) -> dict[str, Any]:
    """Kind, sizes and weights of each part of a voice file, and whose student it is.

    Raises:
        InputError: the file is missing, damaged or no voice.
    """
    from toolkit.models.voice_file import header_of, read_voice

    voice = read_voice(path)
    header = header_of(voice).model_dump(mode="json")
    parts = {"encoder": "encoder", "durations": "durations", "flow": "flow", "decoder": "decoder"}
    return {
        "path": str(path),
        "size_bytes": path.stat().st_size,
        "sha256": voice.sources[path.name],
        "label": voice.label,
        "language": voice.language,
        "sample_rate_hz": voice.sample_rate_hz,
        "parts": {
            name: {
                "weights": sum(value.numel() for value in voice.modules[name].parameters())
                if name in voice.modules
                else None,
                **header[field],
            }
            for name, field in parts.items()
        },
        "teacher": header["teacher"],
    }


def _transformer(found: Checkpoint) -> dict[str, Any]:
    """Widths of a text-to-semantic model; a pruned one's differ from layer to layer."""
    from toolkit.models.gpt_sovits.semantic_config import semantic_config
    from toolkit.pipeline.gpt_sovits import attention_heads

    heads = attention_heads(found)
    sizes = semantic_config(found.weights, heads=heads or 1, where=str(found.path))
    return {
        "layers": sizes.layers, "width": sizes.width, "heads": heads, "attention_width": sizes.attention_width,
        "inners": list(sizes.inners),
    }  # fmt: skip


def _tensors(graph: TfliteGraph, indices: tuple[int, ...], role: str) -> list[dict[str, Any]]:
    return [
        {"role": role, "name": t.name, "dtype": t.dtype.lower(), "shape": list(t.shape)}
        for t in (graph.tensors[index] for index in indices)
    ]


def _precision(graph: TfliteGraph, op: Any) -> str:
    return graph.tensors[op.outputs[0]].dtype.lower() if op.outputs else "-"


def _placement(placement: Placement, delegate: str) -> dict[str, Any]:
    refused = [op for op in placement.ops if op.partition is None and not op.folded]
    counts = Counter((op.op, op.reason, op.source, op.hint) for op in refused)
    notes = list(placement.notes)
    if delegate == "nnapi" and DEPRECATION_NOTE not in notes:
        notes.append(DEPRECATION_NOTE)
    return {
        "delegate": placement.delegate,
        "level": placement.level or placement.method,
        "accepted": placement.delegated_ops,
        "total": placement.total_ops,
        "folded": sum(op.folded for op in placement.ops),
        "partitions": placement.partitions,
        "fallbacks": [
            {"op": op, "count": count, "reason": reason, "source": source, "fix": hint}
            for (op, reason, source, hint), count in sorted(counts.items())
        ],
        "wrong_results": _wrong_results(placement),
        "notes": notes,
    }


def _wrong_results(placement: Placement) -> list[dict[str, Any]]:
    """Accepted operators that compute wrong values there; those of one kind and one reason together."""
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for op in placement.wrong_results:
        groups.setdefault((op.op, op.reason, op.source, op.hint), []).append(op.name)
    return [
        {"op": op, "count": len(names), "first": names[0], "reason": reason, "source": source, "fix": hint}
        for (op, reason, source, hint), names in groups.items()
    ]
