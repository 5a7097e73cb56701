"""Two results against each other: what differs beyond noise, and how that is known.

Nothing is called better or worse on a bare difference of two numbers. Samples of one race pair round by round. Times of
two runs are held against each other by their intervals, which leave out what changed on the machine in between, so that
more is asked of them. Bytes and placement are exact; quality pairs by sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from toolkit.bench.stats import bootstrap_interval, paired_ratio
from toolkit.results import Latency, PhoneLatency, Placement, Quality, RunResult

Verdict = Literal["better", "worse", "same", "not comparable"]

SMALLEST_PAIRED = 0.01
"""A ratio closer to one than this is called no difference, however well it is known (the report says the same)."""
SMALLEST_APART = 0.05
"""The same for times of two runs: another hour, another temperature, another placement in memory."""
SMALLEST_SIZE = 0.001
SMALLEST_QUALITY = {"points": 0.02, "dB": 0.1, "cosine": 0.001}
_FEWEST_SENTENCES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One quantity in both results.

    Attributes:
        kind: latency, size, quality or placement.
        name: what, e.g. ``decoder, result, 2 threads``.
        unit: of ``a`` and ``b``.
        a: value in the first result.
        b: value in the second.
        change: ``b / a``, or ``b - a`` for quality.
        low: lower end of its 95 % interval; equal to ``change`` where the values are exact.
        high: upper end.
        verdict: what follows for the second result.
        how: how that is known, or why it is not.
    """

    kind: str
    name: str
    unit: str
    a: float
    b: float
    change: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    how: str

    @property
    def significant(self) -> bool:
        """Whether the results differ beyond noise."""
        return self.verdict in ("better", "worse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All quantities both results have, and what only one has."""

    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare(a: RunResult, b: RunResult) -> Comparison:
    """Compares two results, the first being the baseline."""
    notes = [] if a.run.model == b.run.model else [f"two models: {a.run.model} and {b.run.model}"]
    found: list[Difference] = []
    for kind, left, right, judge in (
        ("latency", _latencies(a), _latencies(b), _latency),
        ("phone latency", _phones(a), _phones(b), _phone),
        ("size", _sizes(a), _sizes(b), _size),
        ("placement", _placements(a), _placements(b), _placement),
    ):
        found += _both(kind, left, right, judge, notes)
    if a.quality and b.quality:
        found += _quality(a.quality, b.quality, notes)
    elif a.quality or b.quality:
        notes.append(f"quality is in the {'first' if a.quality else 'second'} result only")
    return Comparison(differences=tuple(found), notes=tuple(notes))


def _both(
    kind: str,
    left: Mapping[str, Any],
    right: Mapping[str, Any],
    judge: Callable[[str, Any, Any], Iterable[Difference]],
    notes: list[str],
) -> list[Difference]:
    for name, here, there in (("first", left, right), ("second", right, left)):
        missing = [key for key in here if key not in there]
        if missing:
            notes.append(f"{kind} in the {name} result only: {', '.join(missing)}")
    return [each for key in left if key in right for each in judge(key, left[key], right[key])]


def _latencies(result: RunResult) -> dict[str, Latency]:
    return {f"{x.part}, {x.variant}, {x.threads} thread(s)": x for x in result.latency}


def _latency(name: str, a: Latency, b: Latency) -> list[Difference]:
    if a.race is not None and a.race == b.race and len(a.samples_ms) == len(b.samples_ms):
        change, low, high = paired_ratio(a.samples_ms, b.samples_ms)
        how, smallest = f"paired, {len(a.samples_ms)} rounds of one race", SMALLEST_PAIRED
    else:
        change = b.stats.p50_ms / a.stats.p50_ms
        low, high = b.stats.ci_low_ms / a.stats.ci_high_ms, b.stats.ci_high_ms / a.stats.ci_low_ms
        how, smallest = "intervals of the medians of two runs, not paired", SMALLEST_APART
    why_not = _objection(a, b) or ("an estimate" if a.estimated or b.estimated else "")
    verdict: Verdict = "not comparable" if why_not else _lower_is_better(change, low, high, smallest)
    return [
        Difference(
            kind="latency",
            name=name,
            unit="ms",
            a=a.stats.p50_ms,
            b=b.stats.p50_ms,
            change=change,
            low=low,
            high=high,
            verdict=verdict,
            how=why_not or how,
        )
    ]


def _phones(result: RunResult) -> dict[str, PhoneLatency]:
    found = result.phone.latencies if result.phone else ()
    return {f"{x.part} on the phone, {x.delegate}, {x.threads} thread(s)": x for x in found}


def _phone(name: str, a: PhoneLatency, b: PhoneLatency) -> list[Difference]:
    change = b.avg_ms / a.avg_ms
    low = b.ci_low_ms / a.ci_high_ms
    high = b.ci_high_ms / a.ci_low_ms if a.ci_low_ms > 0 else float("inf")
    why_not = _objection(a, b)
    known = high != float("inf")
    return [
        Difference(
            kind="latency",
            name=name,
            unit="ms",
            a=a.avg_ms,
            b=b.avg_ms,
            change=change,
            low=low,
            high=high if known else None,
            verdict="not comparable" if why_not else _lower_is_better(change, low, high, SMALLEST_APART),
            how=why_not or "intervals of the means of two sessions, not paired",
        )
    ]


def _objection(a: Latency | PhoneLatency, b: Latency | PhoneLatency) -> str:
    """Why two times must not be compared."""
    if a.where != b.where:
        return f"measured on {a.where} and on {b.where}"
    for name, one in (("first", a), ("second", b)):
        if not one.valid:
            return f"the {name} is INVALID: {'; '.join(one.reasons)}"
    return ""


def _lower_is_better(change: float, low: float, high: float, smallest: float) -> Verdict:
    if abs(change - 1.0) < smallest or low <= 1.0 <= high:
        return "same"
    return "better" if change < 1.0 else "worse"


def _sizes(result: RunResult) -> dict[str, int]:
    if result.size is None:
        return {}
    return {"all files": result.size.total_bytes} | {f"{p.part}, {p.variant}": p.total_bytes for p in result.size.parts}


def _size(name: str, a: int, b: int) -> list[Difference]:
    if a <= 0:
        return []
    return [_exact("size", name, "bytes", a, b, _lower_is_better(b / a, b / a, b / a, SMALLEST_SIZE))]


def _placements(result: RunResult) -> dict[str, Placement]:
    return {f"{p.part} on {p.delegate}": p for p in result.delegation}


def _placement(name: str, a: Placement, b: Placement) -> list[Difference]:
    found = []
    if a.total_ops and b.total_ops:
        left, right = a.delegated_ops / a.total_ops, b.delegated_ops / b.total_ops
        verdict: Verdict = "same" if left == right else "better" if right > left else "worse"
        found.append(_exact("placement", f"{name}: share of operators", "ratio", left, right, verdict))
    fewer: Verdict = "same" if a.partitions == b.partitions else "better" if b.partitions < a.partitions else "worse"
    if not b.partitions or not a.partitions:
        fewer = "same"  # no partition is not fewer of them; the share of operators says it
    found.append(_exact("placement", f"{name}: partitions", "partitions", a.partitions, b.partitions, fewer))
    return found


def _exact(kind: str, name: str, unit: str, a: float, b: float, verdict: Verdict) -> Difference:
    change = b / a if a else None
    return Difference(
        kind=kind, name=name, unit=unit, a=a, b=b, change=change, low=change, high=change, verdict=verdict, how="exact"
    )


def _quality(a: Quality, b: Quality, notes: list[str]) -> list[Difference]:
    texts = {u.id: u.text for u in a.utterances}
    common = [u.id for u in b.utterances if texts.get(u.id) == u.text]
    if a.reference != b.reference:
        notes.append(f"quality against two references: {a.reference} and {b.reference}")
    found = []
    for metric in a.metrics:
        if any(other.metric == metric.metric for other in b.metrics):
            left, right = _values(a, metric.metric, common), _values(b, metric.metric, common)
            found.append(_metric(metric.title, metric.unit, metric.higher_is_better, left, right))
    return [each for each in found if each is not None]


def _values(quality: Quality, metric: str, ids: list[str]) -> dict[str, float]:
    """The metric of each sentence, minus the float voice's own where it has one."""
    wanted = set(ids)
    return {
        u.id: found.value - (found.reference or 0.0)
        for u in quality.utterances
        if u.id in wanted and (found := u.metrics.get(metric)) is not None
    }


def _metric(
    title: str, unit: str, higher_is_better: bool, left: dict[str, float], right: dict[str, float]
) -> Difference | None:
    ids = [each for each in left if each in right]
    if not ids:
        return None
    a, b = (sum(side[each] for each in ids) / len(ids) for side in (left, right))
    changes = [right[each] - left[each] for each in ids]
    change = sum(changes) / len(changes)
    if len(ids) < _FEWEST_SENTENCES:
        verdict: Verdict = "not comparable"
        low = high = None
        how = f"{len(ids)} sentences in common; at least {_FEWEST_SENTENCES} are needed"
    else:
        low, high = bootstrap_interval(changes)
        how = f"paired over {len(ids)} sentences, interval of the median change"
        beyond = (low > 0 or high < 0) and abs(change) >= SMALLEST_QUALITY.get(unit, 0.001)
        consistent = beyond and (change > 0) == (low > 0)
        verdict = "same" if not consistent else "better" if (change > 0) == higher_is_better else "worse"
    return Difference(
        kind="quality", name=title, unit=unit, a=a, b=b, change=change, low=low, high=high, verdict=verdict, how=how
    )
