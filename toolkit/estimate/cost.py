"""The cost model: a roofline per operator, a price per operator, a price per run.

An operator takes the longer of its arithmetic and its traffic::

    t = max(multiply-adds x price(kind, format), weight bytes x price + activation bytes x price) + dispatch

A graph takes the sum, divided by the speed of the device, and what its runtime adds to every run. On the CPU peaks and
bandwidth are public, so that only the share of the peak that is reached is calibrated; a Hexagon publishes neither, so
its prices are calibrated for one device (Snapdragon 8 Gen 2) and its speed follows from its architecture's version and
its TOPS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from toolkit.estimate.devices import EstimatedDevice, Npu
from toolkit.estimate.workload import Format, Kind, OpWork

Runtime = Literal["tflite", "qnn", "onnx"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FORMATS: tuple[Format, ...] = get_args(Format)
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
_WEIGHT_BYTES = {"npu": {"float": 2, "w8a8": 1, "w8a16": 1}, "cpu": {"float": 4, "w8a8": 1, "w8a16": 1}}
_ACTIVATION_BYTES = {"npu": {"float": 2, "w8a8": 1, "w8a16": 2}, "cpu": {"float": 4, "w8a8": 1, "w8a16": 4}}
_REFERENCE_HEXAGON, _REFERENCE_TOPS = 73, 48.0
_NO_ARITHMETIC = -60.0  # log of a price that never decides
CPU_BANDWIDTH_RATIO = 0.7
"""Share of the memory's bandwidth that a CPU reaches: an assumption, the middle of what copies reach (0.6 to 0.8)."""
CPU_DISPATCH_MS = 0.003
"""Price of one operator on the CPU: an assumption."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpArrays:
    """Operators as arrays of one length.

    Attributes:
        kind: index into ``KINDS``.
        format: index into ``FORMATS``.
        gmacs: 1e9 multiply-adds.
        weight_mb: 1e6 bytes of constants.
        activation_mb: 1e6 bytes read and written at run time.
    """

    kind: np.ndarray = field(repr=False)
    format: np.ndarray = field(repr=False)
    gmacs: np.ndarray = field(repr=False)
    weight_mb: np.ndarray = field(repr=False)
    activation_mb: np.ndarray = field(repr=False)


def op_arrays(ops: Sequence[OpWork], formats: Sequence[Format], unit: Literal["npu", "cpu"]) -> OpArrays:
    """Operators with their formats, as ``unit`` stores them: float is 16 bits on an NPU and 32 on a CPU."""
    weight, activation = _WEIGHT_BYTES[unit], _ACTIVATION_BYTES[unit]
    return OpArrays(
        kind=np.array([KINDS.index(op.kind) for op in ops], dtype=np.int64),
        format=np.array([FORMATS.index(name) for name in formats], dtype=np.int64),
        gmacs=np.array([op.macs / 1e9 for op in ops]),
        weight_mb=np.array(
            [
                (op.weights * weight[name] if op.weight_bytes is None else op.weight_bytes) / 1e6
                for op, name in zip(ops, formats, strict=True)
            ]
        ),
        activation_mb=np.array(
            [op.activations * activation[name] / 1e6 for op, name in zip(ops, formats, strict=True)]
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NpuPrices:
    """Natural logarithms of the prices of the reference NPU, and what decides another one's speed.

    Attributes:
        gmac_ms: of 1e9 multiply-adds in float16, by kind (conv, depthwise, matmul).
        format: factor of an 8-bit and an 8/16-bit multiply-add.
        weight_ms: of 1e6 bytes of constants.
        activation_ms: of 1e6 bytes of activations.
        dispatch_ms: of one operator.
        run_ms: of one run, by runtime (tflite, qnn, onnx).
        per_generation: log time per four versions of the Hexagon architecture.
        per_log_tops: log time per unit of log TOPS.
    """

    gmac_ms: tuple[float, float, float]
    format: tuple[float, float]
    weight_ms: float
    activation_ms: float
    dispatch_ms: float
    run_ms: tuple[float, float, float]
    per_generation: float
    per_log_tops: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuPrices:
    """Natural logarithms of what a CPU takes over its peak, by what runs on it.

    Attributes:
        over_peak: measured time over time at peak: TFLite float32, ONNX Runtime 8-bit, ONNX Runtime 8/16-bit.
        per_log_peak: log time per unit of log peak; -1 would be time inverse to the peak.
    """

    over_peak: tuple[float, float, float]
    per_log_peak: float


CPU_CASES: tuple[tuple[Runtime, Format], ...] = (("tflite", "float"), ("onnx", "w8a8"), ("onnx", "w8a16"))
"""What was measured on CPUs; other combinations are extrapolated and say so."""
CPU_REFERENCE_GMACS = 100.0


def npu_slowness(npu: Npu, prices: NpuPrices) -> float:
    """Log time of an NPU over the reference's."""
    generation = (npu.hexagon - _REFERENCE_HEXAGON) / 4
    return prices.per_generation * generation + prices.per_log_tops * float(np.log(npu.tops / _REFERENCE_TOPS))


def npu_op_ms(ops: OpArrays, prices: NpuPrices) -> np.ndarray:
    """Milliseconds of every operator on the reference NPU."""
    per_gmac = np.exp(np.array([*prices.gmac_ms, _NO_ARITHMETIC]))[ops.kind]
    arithmetic = ops.gmacs * per_gmac * np.exp(np.array([0.0, *prices.format]))[ops.format]
    traffic = ops.weight_mb * np.exp(prices.weight_ms) + ops.activation_mb * np.exp(prices.activation_ms)
    return np.maximum(arithmetic, traffic) + np.exp(prices.dispatch_ms)


def npu_ms(ops: OpArrays, runtime: Runtime, npu: Npu, prices: NpuPrices) -> float:
    """Milliseconds of one run on an NPU."""
    slowness = npu_slowness(npu, prices)
    # What a run adds is work of CPU, driver and NPU alike: it follows the NPU's speed by half.
    run = float(np.exp(prices.run_ms[RUNTIMES.index(runtime)] + 0.5 * slowness))
    return float(npu_op_ms(ops, prices).sum() * np.exp(slowness)) + run


def cpu_ms(ops: OpArrays, runtime: Runtime, device: EstimatedDevice, prices: CpuPrices) -> float:
    """Milliseconds of one run on four threads of the device's CPU.

    TFLite's 8-bit kernels are in no published measurement: they are taken to reach the share of the 8-bit peak that
    ONNX Runtime's reach.
    """
    eight_bit = ops.format == FORMATS.index("w8a8")
    over = np.where(eight_bit, prices.over_peak[1], prices.over_peak[0])
    if runtime == "onnx":
        over = np.where(ops.format == FORMATS.index("w8a16"), prices.over_peak[2], over)
    peak = np.where(eight_bit, device.cpu_int8_gmacs, device.cpu_gmacs)
    scaled = CPU_REFERENCE_GMACS * (peak / CPU_REFERENCE_GMACS) ** -prices.per_log_peak
    arithmetic = ops.gmacs * 1e3 / scaled * np.exp(over)
    traffic = (ops.weight_mb + ops.activation_mb) / (device.memory_gbs * CPU_BANDWIDTH_RATIO)
    return float((np.maximum(arithmetic, traffic) + CPU_DISPATCH_MS).sum())
