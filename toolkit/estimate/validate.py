"""How wrong estimates are: measurements are left out, estimated from the others, and compared."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from toolkit.estimate.cost import CpuPrices, NpuPrices, cpu_ms, npu_ms, op_arrays
from toolkit.estimate.fit import fit_cpu, fit_npu
from toolkit.estimate.published import Published
from toolkit.estimate.published_models import published_workloads

_FEW = 3  # an estimate needs more measurements than this behind it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Validation:
    """Estimates of measurements that were not used for them.

    Attributes:
        left_out: what was left out together.
        unit: NPU or CPU.
        rows: the measurements.
        ratios: estimated over measured time, one a row.
    """

    left_out: str
    unit: str
    rows: tuple[Published, ...] = field(repr=False)
    ratios: np.ndarray = field(repr=False)

    @property
    def median_error(self) -> float:
        """Median over measurements of ``|estimated / measured - 1|``."""
        return float(np.median(np.abs(self.ratios - 1)))

    def quantile_ratio(self, share: float) -> float:
        """The ratio that ``share`` of the estimates stay below."""
        return float(np.quantile(self.ratios, share))

    def median_error_by(self, key: Callable[[Published], str]) -> dict[str, float]:
        """Median error of the measurements that share a key, e.g. their device."""
        keys = np.array([key(row) for row in self.rows])
        return {name: float(np.median(np.abs(self.ratios[keys == name] - 1))) for name in sorted(set(keys.tolist()))}


def leave_one_device_out(rows: Sequence[Published], unit: str) -> Validation:
    """Every device estimated from the measurements on the others."""
    return _validation("device", rows, unit, lambda row: row.device.id, lambda row, gone: row.device.id != gone)


def leave_one_model_out(rows: Sequence[Published], unit: str) -> Validation:
    """Every network estimated from the measurements of the others."""
    return _validation("model", rows, unit, lambda row: row.model, lambda row, gone: row.model != gone)


def leave_both_out(rows: Sequence[Published], unit: str) -> Validation:
    """Every network on every device, from other networks on other devices: the case of a new model on a new phone."""
    return _validation(
        "device and model",
        rows,
        unit,
        lambda row: (row.device.id, row.model),
        lambda row, gone: row.device.id != gone[0] and row.model != gone[1],
    )


def _validation(
    left_out: str,
    rows: Sequence[Published],
    unit: str,
    group: Callable[[Published], Hashable],
    kept: Callable[[Published, Hashable], bool],
) -> Validation:
    chosen = tuple(row for row in rows if row.unit == unit)
    judged: list[Published] = []
    ratios: list[float] = []
    for gone in dict.fromkeys(group(row) for row in chosen):
        training = [row for row in chosen if kept(row, gone)]
        if len(training) <= _FEW:
            continue
        prices = fit_npu(training) if unit == "NPU" else fit_cpu(training)
        for row in chosen:
            if group(row) == gone:
                judged.append(row)
                ratios.append(_estimate_ms(row, prices) / row.ms)
    return Validation(left_out=left_out, unit=unit, rows=tuple(judged), ratios=np.array(ratios))


def _estimate_ms(row: Published, prices: NpuPrices | CpuPrices) -> float:
    ops = published_workloads()[row.model].ops
    formats = [row.format] * len(ops)
    if isinstance(prices, CpuPrices):
        return cpu_ms(op_arrays(ops, formats, "cpu"), row.runtime, row.device, prices)
    if row.device.npu is None:
        raise ValueError(f"{row.device.id} was measured on an NPU that the table does not have")
    return npu_ms(op_arrays(ops, formats, "npu"), row.runtime, row.device.npu, prices)
