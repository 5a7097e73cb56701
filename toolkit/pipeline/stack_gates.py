"""What the stages of a stack, and the whole of it, are held to."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.bench.host import Race
from toolkit.quality.semantic import SemanticQuality
from toolkit.recipe.stacking import StackGates
from toolkit.results import Gate, judge
from toolkit.results.stack import StackStage


def rise_gate(stage: str, title: str, found: SemanticQuality, before: SemanticQuality, limit: float) -> Gate:
    """Whether a stage lost little enough to go on."""
    return judge(
        f"{stage}_cross_entropy_rise",
        f"{title}: cross-entropy above the stage before",
        found.cross_entropy_nats - before.cross_entropy_nats,
        "nats",
        limit,
        "<=",
        "On held-out sentences; the next stage begins only where this holds.",
    )


def whole_gates(limits: StackGates, stages: Sequence[StackStage], raced: Race | None) -> tuple[Gate, ...]:
    """What the last stage is held to against the model that was given.

    Args:
        limits: of the recipe.
        stages: the model as given first, the quantised one last.
        raced: times of every stage's step.
    """
    first, last = stages[0], stages[-1]
    gates = [
        judge(
            "cross_entropy_rise",
            "cross-entropy of the files above the model given",
            None
            if first.cross_entropy_nats is None or last.cross_entropy_nats is None
            else last.cross_entropy_nats - first.cross_entropy_nats,
            "nats",
            limits.cross_entropy_rise_max,
            "<=",
            "On held-out sentences.",
            skipped_because="weights are random; they have no quality to lose",
        )
    ]
    if limits.bytes_ratio_min is not None:
        gates.append(bytes_gate(stages, limits.bytes_ratio_min))
    if limits.step_latency_ratio_max is not None:
        title = "stacked step over the float32 step of the model given"
        gates.append(latency_gate("step", title, stages, raced, limits.step_latency_ratio_max))
    return tuple(gates)


def bytes_gate(stages: Sequence[StackStage], limit: float) -> Gate:
    """How many times smaller the last stage's bundle is than the first one's."""
    ratio = stages[0].bundle_bytes / stages[-1].bundle_bytes
    explanation = "Both bundles are on disk, with the same graphs."
    return judge("bytes_ratio", "float32 bundle over the stacked one", ratio, "x", limit, ">=", explanation)


def latency_gate(what: str, title: str, stages: Sequence[StackStage], raced: Race | None, limit: float) -> Gate:
    """How long the last stage takes over the first."""
    timed = {one.candidate: one.ratio for one in raced.comparisons} if raced else {}
    return judge(
        f"{what}_latency_ratio", title, timed.get(stages[-1].name), "", limit, "<=",
        "Measured in turns on this computer, one thread.", skipped_because="no race was run",
    )  # fmt: skip
