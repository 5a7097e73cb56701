"""How often to run, and when the result may not be quoted."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.errors import BenchError
from toolkit.results import LatencyStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A measurement plan.

    Attributes:
        warmup_runs: runs after the first that are thrown away, at least.
        warmup_seconds: go on warming up until this much time has passed: a small model is through its runs before the
            processor has raised its clock.
        min_runs: steady runs at least.
        max_runs: steady runs at most, even before ``min_seconds`` are over.
        min_seconds: go on until this much time was measured.
        threads: thread counts to measure.
        max_drift_ratio: allowed change between the first and the second half.
        max_noise_ratio: allowed interquartile range over the median.
        max_interval_ratio: allowed width of the median's confidence interval over the median.
        max_tail_ratio: allowed 95th percentile over the median. Where threads wait for a core that another program
            has, most runs may be quick and some take forty times as long; the quartiles do not show it, and of two
            copies of one file the median of one was 2.5 times the other's.
    """

    warmup_runs: int = 3
    warmup_seconds: float = 0.3
    min_runs: int = 20
    max_runs: int = 100
    min_seconds: float = 2.0
    threads: tuple[int, ...] = (1, 2)
    max_drift_ratio: float = 0.10
    max_noise_ratio: float = 0.25
    max_interval_ratio: float = 0.15
    max_tail_ratio: float = 3.0

    def __post_init__(self) -> None:
        if self.min_runs < 1 or self.max_runs < self.min_runs or self.warmup_runs < 0 or not self.threads:
            raise BenchError(
                f"impossible plan: {self.min_runs} to {self.max_runs} runs, threads {self.threads}",
                hint="min_runs must be at least 1 and at most max_runs, with one thread count or more",
            )

    def warm(self, runs: int, seconds: float) -> bool:
        """Whether the warm-up is over after so many runs and seconds."""
        return runs >= self.warmup_runs and seconds >= self.warmup_seconds

    def enough(self, runs: int, seconds: float) -> bool:
        """Whether to stop after so many runs and seconds."""
        return runs >= self.max_runs or (runs >= self.min_runs and seconds >= self.min_seconds)

    def objections(self, stats: LatencyStats) -> tuple[str, ...]:
        """Reasons why a measurement may not be quoted; none when it is valid."""
        reasons = []
        if stats.n < self.min_runs:
            reasons.append(f"{stats.n} runs; at least {self.min_runs} are needed")
        if abs(stats.drift_ratio) > self.max_drift_ratio:
            direction = "slower" if stats.drift_ratio > 0 else "faster"
            reasons.append(f"second half {abs(stats.drift_ratio):.0%} {direction}; at most {self.max_drift_ratio:.0%}")
        if stats.iqr_ms > self.max_noise_ratio * stats.p50_ms:
            noise = stats.iqr_ms / stats.p50_ms
            reasons.append(f"interquartile range {noise:.0%} of the median; at most {self.max_noise_ratio:.0%}")
        width = (stats.ci_high_ms - stats.ci_low_ms) / stats.p50_ms
        if width > self.max_interval_ratio:
            reasons.append(f"median known to {width:.0%} only; at most {self.max_interval_ratio:.0%}")
        if stats.p95_ms > self.max_tail_ratio * stats.p50_ms:
            tail = stats.p95_ms / stats.p50_ms
            reasons.append(f"1 run in 20 takes {tail:.0f} times the median; at most {self.max_tail_ratio:g}")
        return tuple(reasons)


QUICK = Plan(warmup_runs=1, min_runs=5, max_runs=20, min_seconds=0.5)
"""For a look, not for quoting."""
