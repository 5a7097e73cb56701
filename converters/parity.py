"""Compares what two representations of a part compute on the same arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converters.errors import ParityError
from converters.spec import Arrays

_EXACT_SNR_DB = 200.0
"""Reported for identical arrays; float32 rounding alone ends near 140 dB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorParity:
    """Agreement of one tensor.

    Attributes:
        max_abs: largest absolute difference.
        snr_db: power of the reference over power of the difference; 200 when they are identical.
        cosine: cosine of the angle between both, 1 for two all-zero arrays.
        peak: largest absolute value of the reference.
    """

    max_abs: float
    snr_db: float
    cosine: float
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """Agreement of every tensor of a part.

    Attributes:
        tensors: by output name.
    """

    tensors: Mapping[str, TensorParity]

    @property
    def worst_snr_db(self) -> float:
        """Lowest SNR of all tensors."""
        return min((t.snr_db for t in self.tensors.values()), default=_EXACT_SNR_DB)

    @property
    def max_abs(self) -> float:
        """Largest difference of all tensors."""
        return max((t.max_abs for t in self.tensors.values()), default=0.0)

    def combined(self, other: ParityReport) -> ParityReport:
        """The worse of both, tensor by tensor."""
        worse = dict(self.tensors)
        for name, tensor in other.tensors.items():
            mine = worse.get(name)
            worse[name] = tensor if mine is None or tensor.snr_db < mine.snr_db else mine
        return ParityReport(tensors=worse)


def compare_tensor(reference: np.ndarray, candidate: np.ndarray) -> TensorParity:
    """Agreement of two arrays of one shape; anything not finite in only one of them counts as total disagreement."""
    ref, cand = reference.astype(np.float64), candidate.astype(np.float64)
    peak = float(np.max(np.abs(ref), initial=0.0))
    if not np.isfinite(cand).all() or not np.isfinite(ref).all():
        same = bool(np.array_equal(ref, cand, equal_nan=True))
        worst = 0.0 if same else math.inf
        return TensorParity(
            max_abs=worst, snr_db=_EXACT_SNR_DB if same else -math.inf, cosine=1.0 if same else 0.0, peak=peak
        )
    error = ref - cand
    noise, signal = float(np.sum(error**2)), float(np.sum(ref**2))
    if noise == 0.0:
        snr_db = _EXACT_SNR_DB
    elif signal == 0.0:
        snr_db = -_EXACT_SNR_DB
    else:
        snr_db = min(_EXACT_SNR_DB, 10.0 * math.log10(signal / noise))
    norm = math.sqrt(signal) * math.sqrt(float(np.sum(cand**2)))
    cosine = float(np.sum(ref * cand)) / norm if norm else float(noise == 0.0)
    return TensorParity(
        max_abs=float(np.max(np.abs(error), initial=0.0)), snr_db=snr_db, cosine=min(1.0, cosine), peak=peak
    )


def compare(reference: Arrays, candidate: Arrays) -> ParityReport:
    """Compares every tensor of the reference with its namesake.

    Raises:
        ParityError: a tensor is missing or has another shape.
    """
    tensors = {}
    for name, expected in reference.items():
        if name not in candidate:
            raise ParityError(f"output {name!r} is missing", where=name)
        found = candidate[name]
        if found.shape != expected.shape:
            raise ParityError(f"output {name!r} has shape {found.shape}, expected {expected.shape}", where=name)
        tensors[name] = compare_tensor(np.asarray(expected), np.asarray(found))
    return ParityReport(tensors=tensors)


def check(report: ParityReport, *, min_snr_db: float, hop: str, max_abs: float = 0.0) -> None:
    """Raises unless every tensor reaches ``min_snr_db`` (or stays within ``max_abs``).

    Args:
        report: what `compare` found.
        min_snr_db: lowest acceptable SNR.
        hop: the step that is checked, e.g. ``"onnx pass flips"``.
        max_abs: differences up to this are accepted whatever their SNR, for outputs that are almost zero.

    Raises:
        ParityError: names the worst tensor.
    """
    failing = {n: t for n, t in report.tensors.items() if t.snr_db < min_snr_db and not t.max_abs <= max_abs}
    if not failing:
        return
    name, worst = min(failing.items(), key=lambda item: item[1].snr_db)
    raise ParityError(
        f"{hop}: output {name!r} agrees to {worst.snr_db:.1f} dB only (at least {min_snr_db:.0f} dB expected, "
        f"largest difference {worst.max_abs:.3g} on a peak of {worst.peak:.3g})",
        where=name,
        hint="the first diverging operator and a minimal reproduction are in the bisect report, when one was asked for",
    )
