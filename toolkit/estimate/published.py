"""The published measurements, one row a job."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from toolkit.estimate.cost import Runtime
from toolkit.estimate.devices import EstimatedDevice, find_device, measured_as
from toolkit.estimate.workload import Format

Unit = Literal["NPU", "CPU", "GPU"]
_FORMATS: dict[str, Format] = {"float": "float", "w8a8": "w8a8", "w8a16": "w8a16", "w8a16_mixed_int16": "w8a16"}
_RUNTIMES: dict[str, Runtime] = {
    "tflite": "tflite",
    "qnn_dlc": "qnn",
    "qnn_context_binary": "qnn",
    "onnx": "onnx",
    "precompiled_qnn_onnx": "onnx",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One measurement.

    Attributes:
        model: network, as in ``published_workloads``.
        format: number format.
        runtime: what ran it.
        device: what it ran on.
        unit: the compute unit that ran most of it.
        ms: measured milliseconds of one run.
    """

    model: str
    format: Format
    runtime: Runtime
    device: EstimatedDevice
    unit: Unit
    ms: float


@cache
def published() -> tuple[Published, ...]:
    """Every measurement; a job that is listed under two names of one chip counts once."""
    data = json.loads((files("toolkit.estimate") / "tables" / "published.json").read_text(encoding="utf-8"))
    return _rows([dict(zip(data["columns"], row, strict=True)) for row in data["rows"]])


def _rows(entries: Iterable[dict[str, str]]) -> tuple[Published, ...]:
    seen: set[tuple[str, ...]] = set()
    found = []
    for entry in entries:
        device = find_device(measured_as()[entry["device"]])
        key = (entry["job"], entry["model"], device.id)
        if key in seen:
            continue
        seen.add(key)
        found.append(
            Published(
                model=entry["model"],
                format=_FORMATS[entry["precision"]],
                runtime=_RUNTIMES[entry["runtime"]],
                device=device,
                unit=entry["unit"],  # type: ignore[arg-type]
                ms=float(entry["ms"]),
            )
        )
    return tuple(found)
