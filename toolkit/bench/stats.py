"""Statistics of timing samples. Pure functions; everything random takes a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolkit.errors import BenchError
from toolkit.results import LatencyStats

_RESAMPLES = 2000
_CONFIDENCE = 0.95


def summarise(samples_ms: Sequence[float], *, seed: int = 0) -> LatencyStats:
    """Percentiles, spread, outliers, drift and a bootstrap interval of the median.

    Raises:
        BenchError: no samples, or one that is not a positive number.
    """
    values = _checked(samples_ms)
    low, high = bootstrap_interval(values, seed=seed)
    q1, p50, q3, p90, p95, p99 = (float(q) for q in np.percentile(values, (25, 50, 75, 90, 95, 99)))
    return LatencyStats(
        n=len(values),
        mean_ms=float(values.mean()),
        min_ms=float(values.min()),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        iqr_ms=q3 - q1,
        outliers=outliers(values),
        ci_low_ms=low,
        ci_high_ms=high,
        drift_ratio=drift(values),
    )


def outliers(samples: Sequence[float]) -> int:
    """Samples further than 1.5 interquartile ranges outside the quartiles (Tukey's fences)."""
    values = np.asarray(samples, dtype=np.float64)
    q1, q3 = np.percentile(values, (25, 75))
    fence = 1.5 * (q3 - q1)
    return int(np.sum((values < q1 - fence) | (values > q3 + fence)))


def drift(samples: Sequence[float]) -> float:
    """Median of the second half over the median of the first, minus one: positive when it slows down."""
    values = np.asarray(samples, dtype=np.float64)
    if len(values) < 2:
        return 0.0
    half = len(values) // 2
    return float(np.median(values[-half:]) / np.median(values[:half]) - 1.0)


def bootstrap_interval(
    samples: Sequence[float], *, seed: int = 0, confidence: float = _CONFIDENCE
) -> tuple[float, float]:
    """Percentile-bootstrap interval of the median."""
    values = np.asarray(samples, dtype=np.float64)
    rng = np.random.default_rng(seed)
    medians = np.median(values[rng.integers(0, len(values), (_RESAMPLES, len(values)))], axis=1)
    tail = (1.0 - confidence) / 2.0 * 100.0
    low, high = np.percentile(medians, (tail, 100.0 - tail))
    return float(low), float(high)


def paired_ratio(
    baseline_ms: Sequence[float], candidate_ms: Sequence[float], *, seed: int = 0
) -> tuple[float, float, float]:
    """Median of candidate over baseline, round by round, with its bootstrap interval.

    Pairing cancels what slows both down at once, such as another process or a lower clock.

    Raises:
        BenchError: the two series differ in length or are empty.
    """
    base, cand = _checked(baseline_ms), _checked(candidate_ms)
    if len(base) != len(cand):
        raise BenchError(f"paired series of {len(base)} and {len(cand)} samples")
    ratios = cand / base
    low, high = bootstrap_interval(ratios, seed=seed)
    return float(np.median(ratios)), low, high


def _checked(samples: Sequence[float]) -> np.ndarray:
    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0 or not np.all(np.isfinite(values)) or np.any(values <= 0):
        raise BenchError("timing samples must be positive numbers and at least one", hint="raise the number of runs")
    return values
