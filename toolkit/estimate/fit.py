"""Prices from measurements: least squares of log time, deaf to outliers, drawn weakly towards first guesses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from toolkit.estimate.cost import (
    CPU_CASES,
    RUNTIMES,
    CpuPrices,
    NpuPrices,
    OpArrays,
    cpu_ms,
    npu_op_ms,
    npu_slowness,
    op_arrays,
)
from toolkit.estimate.published import Published
from toolkit.estimate.published_models import published_workloads

_OUTLIER = 0.2  # log time from which a residual counts less than its square
_PULL = 0.05
_NPU_START = NpuPrices(
    gmac_ms=(np.log(0.1), 0.0, np.log(0.1)),
    format=(np.log(0.5), np.log(0.8)),
    weight_ms=np.log(0.02),
    activation_ms=np.log(0.01),
    dispatch_ms=np.log(0.002),
    run_ms=(np.log(0.05), np.log(0.05), np.log(0.2)),
    per_generation=-0.1,
    per_log_tops=-0.3,
)
_NPU_PULL = np.array([0.1, 0.1, 0.1, 1, 1, 0.1, 0.1, 0.1, 0.3, 0.3, 0.3, 1, 1])
_CPU_START = CpuPrices(over_peak=(np.log(2.0), np.log(2.0), np.log(4.0)), per_log_peak=-1.0)
_CPU_PULL = np.array([0.3, 0.3, 0.3, 1.0])


def fit_npu(rows: Sequence[Published]) -> NpuPrices:
    """Prices of the reference NPU from measurements on NPUs."""
    pairs = sorted({(row.model, row.format) for row in rows})
    batch, starts = _joined([_arrays(model, form, "npu") for model, form in pairs])
    pair = np.array([pairs.index((row.model, row.format)) for row in rows])
    runtime = np.array([RUNTIMES.index(row.runtime) for row in rows])
    measured = np.log([row.ms for row in rows])
    npus = [row.device.npu for row in rows]

    def residuals(flat: np.ndarray) -> np.ndarray:
        prices = _npu_prices(flat)
        slowness = np.array([npu_slowness(npu, prices) for npu in npus if npu is not None])
        work = np.add.reduceat(npu_op_ms(batch, prices), starts)[pair] * np.exp(slowness)
        run = np.exp(np.array(prices.run_ms)[runtime] + 0.5 * slowness)
        return np.log(work + run) - measured

    return _npu_prices(_solve(residuals, _npu_flat(_NPU_START), _NPU_PULL))


def fit_cpu(rows: Sequence[Published]) -> CpuPrices:
    """Share of the peak from measurements on CPUs."""
    arrays = [_arrays(row.model, row.format, "cpu") for row in rows]
    unknown = {(row.runtime, row.format) for row in rows} - set(CPU_CASES)
    if unknown:
        raise ValueError(f"no price for {sorted(unknown)} on the CPU")

    def residuals(flat: np.ndarray) -> np.ndarray:
        prices = _cpu_prices(flat)
        return np.log(
            [cpu_ms(ops, row.runtime, row.device, prices) / row.ms for ops, row in zip(arrays, rows, strict=True)]
        )

    return _cpu_prices(_solve(residuals, np.array([*_CPU_START.over_peak, _CPU_START.per_log_peak]), _CPU_PULL))


def _arrays(model: str, form: str, unit: str) -> OpArrays:
    ops = published_workloads()[model].ops
    return op_arrays(ops, [form] * len(ops), unit)  # type: ignore[arg-type]


def _joined(parts: Sequence[OpArrays]) -> tuple[OpArrays, np.ndarray]:
    """All operators in one row of arrays, and where each part starts."""
    starts = np.cumsum([0, *[len(part.gmacs) for part in parts[:-1]]])
    fields = ("kind", "format", "gmacs", "weight_mb", "activation_mb")
    return OpArrays(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in fields}), starts


def _solve(residuals: Callable[[np.ndarray], np.ndarray], start: np.ndarray, pull: np.ndarray) -> np.ndarray:
    from scipy.optimize import least_squares

    def pulled(flat: np.ndarray) -> np.ndarray:
        return np.concatenate([residuals(flat), _PULL * pull * (flat - start)])

    return least_squares(pulled, start, loss="soft_l1", f_scale=_OUTLIER).x


def _npu_flat(prices: NpuPrices) -> np.ndarray:
    return np.array(
        [
            *prices.gmac_ms, *prices.format, prices.weight_ms, prices.activation_ms, prices.dispatch_ms,
            *prices.run_ms, prices.per_generation, prices.per_log_tops,
        ]
    )  # fmt: skip


def _npu_prices(flat: np.ndarray) -> NpuPrices:
    values = [float(value) for value in flat]
    return NpuPrices(
        gmac_ms=(values[0], values[1], values[2]),
        format=(values[3], values[4]),
        weight_ms=values[5],
        activation_ms=values[6],
        dispatch_ms=values[7],
        run_ms=(values[8], values[9], values[10]),
        per_generation=values[11],
        per_log_tops=values[12],
    )


def _cpu_prices(flat: np.ndarray) -> CpuPrices:
    values = [float(value) for value in flat]
    return CpuPrices(over_peak=(values[0], values[1], values[2]), per_log_peak=values[3])
