"""Devices an estimate can be made for: public figures, packaged with their sources."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from toolkit.errors import DeviceError

_FASTEST_CORES = 4
_INT8_OPS_PER_MAC = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Npu:
    """A Hexagon tensor processor.

    Attributes:
        hexagon: version of its architecture, e.g. 73.
        tops: published or derived tera-operations per second in 8 bits; makers count them differently.
        float16: whether it computes float graphs at all.
        tops_source: where the figure is from.
    """

    hexagon: int
    tops: float
    float16: bool
    tops_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A graphics processor.

    Attributes:
        name: as its maker calls it.
        fp32_gflops: peak; float16 is taken as twice of it.
        quality: ``published``, ``estimated`` or ``unverified``.
    """

    name: str
    fp32_gflops: float
    quality: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedDevice:
    """What is publicly known of a system on chip.

    Attributes:
        id: e.g. ``snapdragon-7-gen-3``.
        name: in full.
        part: the maker's part number.
        cpu_gmacs: float32 multiply-adds per nanosecond of its four fastest cores, at their peak.
        cpu_int8_gmacs: the same in 8 bits.
        memory_gbs: bandwidth of its memory in GB/s.
        npu: None where none is known well enough.
        gpu: None where no figure is known.
        sources: where the figures are from.
    """

    id: str
    name: str
    part: str
    cpu_gmacs: float
    cpu_int8_gmacs: float
    memory_gbs: float
    npu: Npu | None
    gpu: Gpu | None
    sources: tuple[str, ...]


def device_names() -> tuple[str, ...]:
    """Every known device, as ``--device`` takes it."""
    return tuple(_devices())


def find_device(name: str) -> EstimatedDevice:
    """The device called ``name``: its id, part number or full name, in any case, with spaces or hyphens.

    Raises:
        DeviceError: there is none; the hint names the nearest.
    """
    wanted = _plain(name)
    for device in _devices().values():
        if wanted in (_plain(device.id), _plain(device.part), _plain(device.name)):
            return device
    near = difflib.get_close_matches(wanted, _devices(), n=3, cutoff=0.5)
    raise DeviceError(
        f"no figures for a device {name!r}",
        code="device/unknown",
        where="--device",
        hint=f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(_devices())}",
    )


@cache
def measured_as() -> dict[str, str]:
    """Device names of the published measurements to the device that they are."""
    return dict(_table()["measured_as"])


@cache
def _devices() -> dict[str, EstimatedDevice]:
    return {entry["id"]: _device(entry) for entry in _table()["devices"]}


@cache
def _table() -> dict[str, Any]:
    return json.loads((files("toolkit.estimate") / "tables" / "devices.json").read_text(encoding="utf-8"))


def _device(entry: dict[str, Any]) -> EstimatedDevice:
    npu, gpu = entry.get("npu"), entry.get("gpu")
    return EstimatedDevice(
        id=entry["id"],
        name=entry["name"],
        part=entry["part"],
        cpu_gmacs=_fastest(entry["cpu"], "fp32_flop"),
        cpu_int8_gmacs=_fastest(entry["cpu"], "int8_ops"),
        memory_gbs=float(entry["memory_bandwidth_gbs"]),
        npu=Npu(**{k: npu[k] for k in ("hexagon", "tops", "float16", "tops_source")}) if npu else None,
        gpu=Gpu(**gpu) if gpu else None,
        sources=tuple(entry["sources"]),
    )


def _fastest(clusters: list[dict[str, Any]], peak: str) -> float:
    """Multiply-adds per nanosecond of the four fastest cores; a multiply-add is two operations."""
    peaks = _table()["core_peak_per_cycle"]
    cores = [c["ghz"] * peaks[c["core"]][peak] / _INT8_OPS_PER_MAC for c in clusters for _ in range(c["n"])]
    return sum(sorted(cores, reverse=True)[:_FASTEST_CORES])


def _plain(name: str) -> str:
    words = re.sub(r"[\s_]+", "-", name.strip().lower())
    return words.removeprefix("qualcomm-").removeprefix("mediatek-")
