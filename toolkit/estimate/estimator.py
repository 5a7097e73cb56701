"""Latency of .tflite graphs on a device, estimated: which unit runs what, how long, how wrong that may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from converters.tflite_graph.read import TfliteGraph, read_tflite
from toolkit.delegates.levels import DEFAULT_LEVEL
from toolkit.delegates.place import place_graph
from toolkit.estimate.calibrate import Calibration, UnitError, calibration
from toolkit.estimate.cost import cpu_ms, npu_ms, op_arrays
from toolkit.estimate.devices import EstimatedDevice, Gpu
from toolkit.estimate.tflite_work import FileOp, file_work
from toolkit.results.delegation import DelegateName
from toolkit.results.estimate import TOTAL, LatencyEstimate

Target = Literal["nnapi", "gpu", "xnnpack", "qnn"]
_PLACED_BY: dict[str, DelegateName] = {"nnapi": "nnapi", "gpu": "gpu_litert", "qnn": "qnn"}
_CROSSING_MS = 0.3
_GPU_EFFICIENCY = 0.25
_GPU_DISPATCH_MS = 0.015
HOW = (
    "roofline per operator (multiply-adds, bytes moved, number format, compute unit), prices calibrated on 366 "
    "measurements published by Qualcomm AI Hub; nothing was run on the device"
)
_GPU_NOTE = "GPU: a quarter of the peak and 15 µs an operator are assumed; one GPU measurement is published, too few"
_INT8_CPU_NOTE = (
    "CPU: TFLite's 8-bit kernels are in no published measurement; ONNX Runtime's share of the peak is taken"
)
_CROSSING_NOTE = "0.3 ms are assumed for every change between CPU and accelerator"


def estimate_file(
    tflite: bytes | Path,
    part: str,
    device: EstimatedDevice,
    target: Target,
    *,
    level: int = DEFAULT_LEVEL,
    signature: str | None = None,
    audio_seconds: float | None = None,
) -> LatencyEstimate:
    """Estimates one run of a file: by its delegate and the CPU, or by the CPU alone where that is faster.

    Args:
        tflite: the file, or its bytes.
        part: name of the part, for the report.
        device: what it would run on.
        target: delegate; ``xnnpack`` is the CPU alone, ``qnn`` the NPU by its vendor's compiler.
        level: NNAPI feature level.
        signature: which graph of the file; its first when left out.
        audio_seconds: seconds of audio one run stands for.

    Raises:
        InputError: the file is damaged.
    """
    graph = read_tflite(tflite, signature=signature)
    work = file_work(graph)
    prices = calibration()
    alone = _estimate(part, device, _runs(work, frozenset(), "CPU"), prices, audio_seconds)
    taken, unit, reason = _taken(graph, part, device, target, level, work)
    if not taken:
        return alone.model_copy(update={"notes": (*alone.notes, reason)}) if reason else alone
    shared = _estimate(part, device, _runs(work, taken, unit), prices, audio_seconds)
    if shared.ms <= alone.ms:
        return shared
    note = f"{part}: {shared.ms:.3g} ms with the {unit}, so that the CPU alone is estimated to be faster"
    return alone.model_copy(update={"notes": (*alone.notes, note)})


def total(
    estimates: Sequence[LatencyEstimate], *, audio_seconds: float | None, runs: Sequence[int] = ()
) -> LatencyEstimate:
    """All parts one after the other, each ``runs`` times (once when left out).

    Intervals are added: parts are wrong in the same direction, because one device is too fast or too slow throughout.
    """
    times = list(runs) or [1] * len(estimates)
    units: dict[str, float] = {}
    for item, count in zip(estimates, times, strict=True):
        for unit, ms in item.unit_ms.items():
            units[unit] = units.get(unit, 0.0) + count * ms
    pairs = list(zip(estimates, times, strict=True))
    known = all(item.median_error is not None for item in estimates)
    return LatencyEstimate(
        part=TOTAL,
        device=estimates[0].device,
        unit=_unit_title(units),
        unit_ms=units,
        ms=sum(item.ms * count for item, count in pairs),
        low_ms=sum((item.low_ms or 0.0) * count for item, count in pairs) if known else None,
        high_ms=sum((item.high_ms or 0.0) * count for item, count in pairs) if known else None,
        median_error=max(item.median_error or 0.0 for item in estimates) if known else None,
        audio_seconds=audio_seconds,
        how=HOW,
        notes=tuple(dict.fromkeys(note for item in estimates for note in item.notes)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Consecutive operators on one unit."""

    unit: str
    ops: tuple[FileOp, ...]


def _runs(work: Sequence[FileOp], taken: frozenset[int], unit: str) -> list[_Run]:
    return [
        _Run(unit=where, ops=tuple(ops))
        for where, ops in groupby(work, key=lambda op: unit if op.index in taken else "CPU")
    ]


def _taken(
    graph: TfliteGraph, part: str, device: EstimatedDevice, target: Target, level: int, work: Sequence[FileOp]
) -> tuple[frozenset[int], str, str]:
    """Operators the accelerator takes, which it is, and why there are none."""
    if target == "xnnpack":
        return frozenset(), "CPU", ""
    unit = "GPU" if target == "gpu" else "NPU"
    if unit == "NPU" and device.npu is None:
        return frozenset(), unit, f"NPU: no figures are known for that of {device.name}; the CPU is estimated"
    if unit == "GPU" and device.gpu is None:
        return frozenset(), unit, f"GPU: no figures are known for that of {device.name}; the CPU is estimated"
    placed = place_graph(graph, part, _PLACED_BY[target], level=level)
    accepted = {op.index for op in placed.ops if op.partition is not None}
    if unit == "NPU" and device.npu is not None and not device.npu.float16:
        accepted -= {op.index for op in work if op.format == "float"}
        if not accepted:
            return frozenset(), unit, f"NPU: that of {device.name} computes no floats; they run on the CPU"
    return frozenset(accepted), unit, "" if accepted else f"{unit}: the delegate takes no operator"


def _estimate(
    part: str, device: EstimatedDevice, runs: Sequence[_Run], prices: Calibration, audio_seconds: float | None
) -> LatencyEstimate:
    units: dict[str, float] = {}
    for run in runs:
        units[run.unit] = units.get(run.unit, 0.0) + _run_ms(run, device, prices)
    crossings = len(runs) - 1
    if crossings:
        accelerator = next(unit for unit in units if unit != "CPU")
        units[accelerator] += crossings * _CROSSING_MS
    errors: dict[str, UnitError | None] = {"NPU": prices.npu_error, "CPU": prices.cpu_error, "GPU": None}
    found = [(ms, errors[unit]) for unit, ms in units.items()]
    known = all(error is not None for _, error in found)
    return LatencyEstimate(
        part=part,
        device=device.name,
        unit=_unit_title(units),
        unit_ms=units,
        ms=sum(units.values()),
        low_ms=sum(ms / error.high_ratio for ms, error in found if error) if known else None,
        high_ms=sum(ms / error.low_ratio for ms, error in found if error) if known else None,
        median_error=max(error.both_out for _, error in found if error) if known and found else None,
        audio_seconds=audio_seconds,
        how=HOW,
        notes=_notes(runs, units, crossings),
    )


def _run_ms(run: _Run, device: EstimatedDevice, prices: Calibration) -> float:
    ops, formats = [op.work for op in run.ops], [op.format for op in run.ops]
    if run.unit == "NPU" and device.npu is not None:
        return npu_ms(op_arrays(ops, formats, "npu"), "tflite", device.npu, prices.npu)
    if run.unit == "GPU" and device.gpu is not None:
        return _gpu_ms(run.ops, device, device.gpu)
    return cpu_ms(op_arrays(ops, formats, "cpu"), "tflite", device, prices.cpu)


def _gpu_ms(ops: Sequence[FileOp], device: EstimatedDevice, gpu: Gpu) -> float:
    """Float16 at a quarter of the peak, 15 µs an operator: assumptions, see ``_GPU_NOTE``."""
    arrays = op_arrays([op.work for op in ops], ["float"] * len(ops), "npu")
    gmacs_per_ms = gpu.fp32_gflops * _GPU_EFFICIENCY / 1e3  # float16 is twice float32, a multiply-add two operations
    traffic = (arrays.weight_mb + arrays.activation_mb) / (device.memory_gbs * 0.7)
    return float((np.maximum(arrays.gmacs / gmacs_per_ms, traffic) + _GPU_DISPATCH_MS).sum())


def _notes(runs: Sequence[_Run], units: dict[str, float], crossings: int) -> tuple[str, ...]:
    notes = []
    if "GPU" in units:
        notes.append(_GPU_NOTE)
    if any(run.unit == "CPU" and any(op.format == "w8a8" and op.work.macs for op in run.ops) for run in runs):
        notes.append(_INT8_CPU_NOTE)
    if crossings:
        notes.append(_CROSSING_NOTE)
    return tuple(notes)


def _unit_title(units: dict[str, float]) -> str:
    return " and ".join(sorted(units, key=lambda unit: -units[unit])) or "CPU"
