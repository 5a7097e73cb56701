"""Which version is best, which misses least, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from toolkit.results.search import Version

_SMALL = 1e-9
INDIFFERENT = {"resemblyzer_cosine": 0.005, "distillmos": 0.03, "output_snr_db": 1.0, "code_agreement": 0.01}
"""Differences of a score that do not outweigh cost: chosen, not measured. Same-speaker cosines lie above 0.88, so 0.005
is small among them. Within such a difference the cheaper version is the better one."""


def best(versions: Iterable[Version]) -> Version | None:
    """The feasible version of the highest score; within ``INDIFFERENT`` of it, the one that costs least.

    Cost is size over the smallest plus latency over the shortest among those versions.
    """
    feasible = [version for version in versions if version.feasible]
    top = max(feasible, key=_rank, default=None)
    if top is None or top.score is None:
        return top
    least = top.score.value - INDIFFERENT[top.score.metric]
    alike = [version for version in feasible if version.score is not None and version.score.value >= least]
    smallest = min(version.size_bytes or 1 for version in alike)
    shortest = min(version.latency.ms if version.latency else 1.0 for version in alike)

    def cost(version: Version) -> float:
        return (version.size_bytes or 1) / smallest + (version.latency.ms if version.latency else 1.0) / shortest

    return min(alike, key=lambda version: (round(cost(version), 9), version.number))


def nearest(versions: Iterable[Version]) -> Version | None:
    """The version that misses the limits by least, the better one where they miss alike."""
    made = [version for version in versions if version.made]
    return min(made, key=lambda v: (len(v.unknown), v.excess, *(-x for x in _rank(v))), default=None)


def _rank(version: Version) -> tuple[float, float, float]:
    score = version.score.value if version.score else float("-inf")
    return (round(score, 6), -(version.size_bytes or 0), -(version.latency.ms if version.latency else 0.0))


def front(versions: Sequence[Version]) -> tuple[Version, ...]:
    """Versions that no other beats or equals in score, size and latency at once."""
    made = [version for version in versions if version.made and version.score and version.latency]
    return tuple(v for v in made if not any(_dominates(other, v) for other in made if other is not v))


def _dominates(one: Version, other: Version) -> bool:
    ours, theirs = _axes(one), _axes(other)
    if ours == theirs:
        return one.number < other.number
    return all(a >= b for a, b in zip(ours, theirs, strict=True))


def _axes(version: Version) -> tuple[float, float, float]:
    score = version.score.value if version.score else 0.0
    return (score, -float(version.size_bytes or 0), -(version.latency.ms if version.latency else 0.0))


def blockers(versions: Sequence[Version], protected: Sequence[str] = ()) -> tuple[str, ...]:
    """What stands in the way when nothing fits: of each limit whether any version keeps it, and what fills it.

    Args:
        versions: all of them.
        protected: parts that are not compressed further; named where one of them fills a budget.
    """
    made = [version for version in versions if version.made]
    if not made:
        refused = dict.fromkeys(version.refused for version in versions)
        return (f"no version could be made: {'; '.join(refused)}",)
    lines = []
    # A limit that the nearest miss keeps does not block: only better versions would break it.
    closest_of_all = nearest(made)
    blocking = {v.gate for v in closest_of_all.violations} if closest_of_all else set()
    missed = {v.gate: v for version in made for v in version.violations if v.gate in blocking}
    for gate, example in missed.items():
        keeping = [version for version in made if gate not in {v.gate for v in version.violations}]
        closest = min(made, key=lambda version: _excess_of(version, gate))
        if keeping:
            lines.append(
                f"{example.title}: {len(keeping)} of {len(made)} versions keep {_number(example.limit)} "
                f"{example.unit}, but break another limit"
            )
        else:
            value = next(v.value for v in closest.violations if v.gate == gate)
            lines.append(
                f"{example.title}: no version keeps {_number(example.limit)} {example.unit}; the closest is version "
                f"{closest.number} with {_number(value)}{_filled(closest, gate, protected)}"
            )
    lines += [f"not measured: {name}" for name in dict.fromkeys(n for version in made for n in version.unknown)]
    return tuple(lines)


def _excess_of(version: Version, gate: str) -> float:
    return next((v.excess_ratio for v in version.violations if v.gate == gate), -_SMALL)


def _filled(version: Version, gate: str, protected: Sequence[str]) -> str:
    """Which part takes most of a budget."""
    shares = {"estimated_latency": version.part_ms}.get(gate) or (version.part_bytes if "bytes" in gate else {})
    total = sum(shares.values())
    if not total:
        return ""
    part, value = max(shares.items(), key=lambda item: item[1])
    unit = f", on the {version.latency.unit}" if gate == "estimated_latency" and version.latency else ""
    kept = " and is protected" if part.partition("@")[0] in protected else ""
    return f"; {part} takes {value / total:.0%} of it{unit}{kept}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
