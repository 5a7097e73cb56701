"""Calibrates the prices on the published measurements and writes them with their error: ``python -m`` this module."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from toolkit.estimate.cost import CpuPrices, NpuPrices
from toolkit.estimate.fit import fit_cpu, fit_npu
from toolkit.estimate.published import published
from toolkit.estimate.validate import Validation, leave_both_out, leave_one_device_out, leave_one_model_out

_FILE = "prices.json"
_LOW, _HIGH = 0.1, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitError:
    """How wrong estimates of one compute unit were, on measurements that were left out.

    Attributes:
        measurements: how many there are.
        device_out: median error on a device none of whose measurements was used.
        model_out: median error on a network none of whose measurements was used.
        both_out: median error where both are new.
        low_ratio: a tenth of the both-new estimates are below this share of the measured time.
        high_ratio: a tenth of them are above this multiple.
    """

    measurements: int
    device_out: float
    model_out: float
    both_out: float
    low_ratio: float
    high_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Prices of both units with their errors."""

    npu: NpuPrices
    cpu: CpuPrices
    npu_error: UnitError
    cpu_error: UnitError


def calibrate() -> Calibration:
    """Prices from all published measurements, errors from leaving them out."""
    rows = published()
    return Calibration(
        npu=fit_npu([row for row in rows if row.unit == "NPU"]),
        cpu=fit_cpu([row for row in rows if row.unit == "CPU"]),
        npu_error=_error("NPU"),
        cpu_error=_error("CPU"),
    )


@cache
def calibration() -> Calibration:
    """The packaged prices; a test holds them to what ``calibrate`` gives."""
    data = json.loads((files("toolkit.estimate") / "tables" / _FILE).read_text(encoding="utf-8"))
    npu, cpu = _tuples(data["npu"]), _tuples(data["cpu"])
    return Calibration(
        npu=NpuPrices(**npu),
        cpu=CpuPrices(**cpu),
        npu_error=UnitError(**data["npu_error"]),
        cpu_error=UnitError(**data["cpu_error"]),
    )


def _error(unit: str) -> UnitError:
    rows = published()
    device: Validation = leave_one_device_out(rows, unit)
    both = leave_both_out(rows, unit)
    return UnitError(
        measurements=len(device.rows),
        device_out=device.median_error,
        model_out=leave_one_model_out(rows, unit).median_error,
        both_out=both.median_error,
        low_ratio=both.quantile_ratio(_LOW),
        high_ratio=both.quantile_ratio(_HIGH),
    )


def _tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}


def _write(path: Path) -> None:
    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: rounded(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [rounded(item) for item in value]
        return round(value, 4) if isinstance(value, float) else value

    data = {"schema": 1, "note": "Made by python -m toolkit.estimate.calibrate; prices are natural logarithms."}
    path.write_text(json.dumps({**data, **rounded(asdict(calibrate()))}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write(Path(__file__).with_name("tables") / _FILE)
