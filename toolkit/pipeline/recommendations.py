"""What to do next, out of what a run measured: gates that fail first, then by the share of work that would gain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolkit.results import Gate, LatencyComparison, OpPlacement, Placement, Recommendation

_SMALLEST_LOSS_RATIO = 0.02
"""Smaller differences in latency are not worth anyone's time."""


def recommendations(
    gates: Sequence[Gate],
    placements: Sequence[Placement],
    comparisons: Sequence[LatencyComparison],
    asked: str,
) -> tuple[Recommendation, ...]:
    """One for each gate that fails, part that the asked delegate does not take whole, and part that became slower.

    Args:
        gates: of the run.
        placements: of every part under every delegate.
        comparisons: shipped over float32.
        asked: name of the delegate the recipe asks for, as in ``Placement.delegate``.
    """
    gained = [*_left_out(placements, asked), *_slower(comparisons)]
    gained.sort(key=lambda pair: -pair[0])
    return (*_failed(gates), *(step for _, step in gained))


def _failed(gates: Sequence[Gate]) -> Iterator[Recommendation]:
    for gate in gates:
        if gate.status == "fail":
            known = gate.value is not None and gate.limit is not None
            yield Recommendation(
                title=f"Bring “{gate.title}” within its limit",
                because=gate.explanation,
                section="verdict",
                expected_gain=f"from {gate.value:.3g} to {gate.limit:.3g} {gate.unit}".rstrip() if known else "",
            )


def _left_out(placements: Sequence[Placement], asked: str) -> Iterator[tuple[float, Recommendation]]:
    """Of each part: the refusal that concerns most operators, with its fix; the gain is the work left to the CPU."""
    for placement in placements:
        refused = [op for op in placement.ops if op.partition is None and not op.folded and not op.accepted]
        if placement.delegate != asked or not refused:
            continue
        first, count = _most_frequent(refused)
        outside = placement.total_ops - placement.delegated_ops
        share = None if placement.delegated_macs_ratio is None else 1 - placement.delegated_macs_ratio
        work = "" if share is None else f", {share:.0%} of its multiply-adds"
        others = len(refused) - count
        also = f", and {others} of other kinds" if others else ""
        title = f"{placement.part}: {first.hint or 'rewrite the operators that are refused'}"
        yield (
            outside / placement.total_ops if share is None else share,
            Recommendation(
                title=title,
                because=f"{count} {first.op} refused ({first.reason}){also}",
                section="delegation",
                expected_gain=f"up to {outside} operators{work} on the delegate",
            ),
        )


def _most_frequent(refused: Sequence[OpPlacement]) -> tuple[OpPlacement, int]:
    groups: dict[tuple[str, str], list[OpPlacement]] = {}
    for op in refused:
        groups.setdefault((op.op, op.reason), []).append(op)
    largest = max(groups.values(), key=len)
    return largest[0], len(largest)


def _slower(comparisons: Sequence[LatencyComparison]) -> Iterator[tuple[float, Recommendation]]:
    for found in comparisons:
        loss = found.ratio - 1
        if found.candidate == "result" and found.ci_low > 1 and loss >= _SMALLEST_LOSS_RATIO:
            yield (
                loss,
                Recommendation(
                    title=f"{found.part}: keep more of it in float, where latency counts for more than size",
                    because=f"as shipped it takes {found.ratio:.3g} of float32's time, {found.threads} threads",
                    section="latency",
                    expected_gain=f"{loss / found.ratio:.0%} of its time on this processor",
                ),
            )
