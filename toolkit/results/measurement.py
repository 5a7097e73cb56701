"""Time, memory and bytes."""

from __future__ import annotations

from pydantic import Field

from toolkit.results.record import Record


class LatencyStats(Record):
    """Summary of steady samples; the interval is a bootstrap interval of the median."""

    n: int
    mean_ms: float
    min_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    iqr_ms: float
    outliers: int
    ci_low_ms: float
    ci_high_ms: float
    drift_ratio: float


class Latency(Record):
    """One part (or ``total``) in one variant with one thread count. Samples are in run order.

    Measurements with the same ``race`` were run in turns in one process: their samples pair, one by one.
    """

    part: str
    variant: str
    threads: int
    where: str
    init_ms: float
    first_ms: float
    samples_ms: tuple[float, ...]
    stats: LatencyStats
    audio_seconds: float | None = None
    real_time_factor: float | None = None
    valid: bool
    reasons: tuple[str, ...] = ()
    estimated: bool = False
    race: str | None = None


class LatencyComparison(Record):
    """Candidate over baseline, run interleaved in one process; the interval is a bootstrap interval of the ratio."""

    part: str
    baseline: str
    candidate: str
    threads: int
    where: str
    ratio: float
    ci_low: float
    ci_high: float
    pairs: int


class OpTime(Record):
    """Time of one operator type (or one named operator) in a part; ``how`` says how it was measured."""

    part: str
    variant: str
    threads: int
    op_type: str
    name: str | None = None
    count: int = 1
    ms: float
    how: str = ""


class OpRun(Record):
    """Time of one operator of a file; ``index`` is its place in execution order, ``how`` says how it was measured."""

    part: str
    variant: str
    threads: int
    index: int
    op_type: str
    name: str
    ms: float
    how: str


class Memory(Record):
    """Peak resident memory of a fresh process that loads and runs a part."""

    part: str
    variant: str
    threads: int
    peak_rss_bytes: int
    over_runtime_bytes: int
    how: str


class PartSize(Record):
    """Bytes of one part in one variant. ``by_dtype`` holds constants; the rest is graph and metadata."""

    part: str
    variant: str
    by_dtype: dict[str, int] = Field(default_factory=dict)
    total_bytes: int
    compressed_bytes: int | None = None


class Size(Record):
    """Bytes on disk, before and after; ``includes`` says what is counted in the totals."""

    parts: tuple[PartSize, ...]
    baseline_bytes: int
    total_bytes: int
    limit_bytes: int | None = None
    includes: str = ""


class Sparsity(Record):
    """Share of exact zeros in one weight."""

    part: str
    op: str
    zero_ratio: float
    pattern: str = "unstructured"


class Point(Record):
    """Another result of this model, for the trade-off plot."""

    label: str
    latency_ms: float
    quality: float
    quality_unit: str
    size_bytes: int
    current: bool = False
