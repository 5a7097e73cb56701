"""From a part's runs to what the result says: mean with an interval, what the delegate took, and validity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from toolkit.bench.phone.command import PRINTED_NAMES, PhonePlan
from toolkit.bench.phone.op_table import Profile
from toolkit.results import PhoneDelegate, PhoneLatency, PhoneTiming

if TYPE_CHECKING:
    from toolkit.bench.phone.measure import PartRuns

MIN_RUNS = 20
MAX_NOISE_RATIO = 0.25
MAX_DRIFT_RATIO = 0.10
# Two-sided 95 % quantiles of Student's t for 1 to 10 degrees of freedom; beyond, the last is wide enough.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_NORMAL = 1.96


def latency_of(runs: PartRuns, plan: PhonePlan, where: str, spoilt: tuple[str, ...]) -> PhoneLatency:
    """The result of one part.

    Args:
        runs: all that was read about it.
        plan: how it was measured.
        where: label of the phone.
        spoilt: what happened to the phone in the meantime.
    """
    mean, low, high, how = mean_interval(runs.timings)
    reasons = (*spoilt, *_noise(runs.timings), *_placement(runs, plan))
    graph, profile = runs.graph, runs.profile
    ratio = time_ratio(profile, plan.delegate) if profile else None
    replaced = _of(graph.replaced, plan.delegate) if graph else None
    return PhoneLatency(
        part=runs.target.part,
        file_sha256=runs.target.sha256,
        where=where,
        delegate=plan.delegate,
        threads=runs.threads,
        timings=runs.timings,
        avg_ms=mean,
        ci_low_ms=low,
        ci_high_ms=high,
        interval=how,
        applied=runs.log.applied,
        accelerators=runs.log.accelerators,
        replaced_ops=replaced,
        total_ops=graph.total_ops if graph else None,
        ops=profile.ops if profile else (),
        delegate_ops=profile.delegate_ops if profile else (),
        delegated_time_ratio=ratio,
        valid=not reasons,
        reasons=reasons,
        notes=runs.notes,
    )


def mean_interval(timings: tuple[PhoneTiming, ...]) -> tuple[float, float, float, str]:
    """Mean time, its 95 % interval, and how that was made.

    Several processes: Student's t over their means, because what differs between processes (placement in memory, cores
    chosen) does not show inside one; never narrower than the standard error inside a process, for a few means may agree
    by chance. One process: that standard error alone, which is too narrow, and says so.
    """
    means = np.array([timing.avg_ms for timing in timings])
    mean = float(means.mean())
    inside = _NORMAL * max(timing.std_ms / math.sqrt(timing.runs) for timing in timings)
    if len(means) > 1:
        factor = _STUDENT[min(len(means) - 1, len(_STUDENT)) - 1]
        half = max(inside, factor * float(means.std(ddof=1)) / math.sqrt(len(means)))
        how = f"Student's t over the means of {len(means)} processes, at least the standard error inside one"
    else:
        half = inside
        how = "from the spread inside one process; what differs between processes is not in it"
    return mean, max(0.0, mean - half), mean + half, how


def _noise(timings: tuple[PhoneTiming, ...]) -> tuple[str, ...]:
    reasons = []
    fewest = min(timing.runs for timing in timings)
    if fewest < MIN_RUNS:
        reasons.append(f"{fewest} runs in a process; at least {MIN_RUNS} are needed")
    noise = max(timing.std_ms / timing.avg_ms for timing in timings)
    if noise > MAX_NOISE_RATIO:
        reasons.append(f"standard deviation {noise:.0%} of the mean; at most {MAX_NOISE_RATIO:.0%}")
    drift = timings[-1].avg_ms / timings[0].avg_ms - 1.0
    if abs(drift) > MAX_DRIFT_RATIO:
        direction = "slower" if drift > 0 else "faster"
        reasons.append(f"last process {abs(drift):.0%} {direction} than the first; at most {MAX_DRIFT_RATIO:.0%}")
    return tuple(reasons)


def _placement(runs: PartRuns, plan: PhonePlan) -> tuple[str, ...]:
    """A time is the delegate's only if the delegate ran something."""
    name = PRINTED_NAMES[plan.delegate]
    told = [applied for applied in runs.log.applied if applied.name == name]
    if not told:
        return (f"benchmark_model does not say that it applied {name}: whose time this is, is not known",)
    if told[-1].extent == "none":
        return (f"{name} took no operator: this is the CPU's time",)
    exported = _of(runs.graph.kernels, plan.delegate) if runs.graph is not None else None
    if exported is not None and exported != told[-1].kernels:
        return (f"the log has {told[-1].kernels} {name} kernels, the runtime graph {exported}",)
    return ()


def time_ratio(profile: Profile, delegate: PhoneDelegate) -> float | None:
    """Share of the profile's time that the delegate takes; None where no row is known to be its own.

    XNNPACK may take what another delegate left, so rows are told apart by the delegate's name; only XNNPACK names the
    operators inside its kernels ``Delegate/…``.
    """
    total = sum(op.avg_ms * op.calls for op in profile.ops)
    own = [op for op in profile.ops if delegate in op.op_type.lower()]
    if delegate == "xnnpack" and not own:
        own = [op for op in profile.ops if op.name.startswith("Delegate/")]
    return sum(op.avg_ms * op.calls for op in own) / total if own and total > 0 else None


def _of(by_delegate: Mapping[str, int], delegate: PhoneDelegate) -> int | None:
    """The number that belongs to a delegate, whose class is called e.g. ``TfLiteNnapiDelegate``."""
    found = [number for name, number in by_delegate.items() if delegate in name.lower()]
    return sum(found) if found else None
