"""What the stages of a stacked voice, and the whole of it, are held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.bench.host import Race
from toolkit.pipeline.stack_gates import bytes_gate, latency_gate
from toolkit.recipe.stacking import VoiceLoss, VoiceStackGates
from toolkit.results import Gate, judge
from toolkit.results.stack import StackStage

_RANDOM = "weights are random; they have no quality to lose"
_NOT_INSTALLED = "the metric's package is not installed"


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceScores:
    """How a voice sounds against the one that was given; ``None`` where it was not measured.

    Attributes:
        mos_drop: DistillMOS below it, mean over the sentences; below 0 where it is above.
        mos_drop_worst: of the sentence that suffers most.
        speaker_cosine: of resemblyzer's d-vectors, mean.
        speaker_cosine_worst: of the sentence that suffers most.
    """

    mos_drop: float | None
    mos_drop_worst: float | None
    speaker_cosine: float | None
    speaker_cosine_worst: float | None

    @staticmethod
    def of(metrics: Mapping[str, tuple[float, float]]) -> VoiceScores:
        """From mean and worst of each metric, as listening gives them: of DistillMOS the change, not the drop."""
        change, worst = metrics.get("distillmos", (None, None))
        cosine, least = metrics.get("resemblyzer_cosine", (None, None))
        return VoiceScores(
            mos_drop=None if change is None else -change,
            mos_drop_worst=None if worst is None else -worst,
            speaker_cosine=cosine,
            speaker_cosine_worst=least,
        )


ITSELF = VoiceScores(mos_drop=0.0, mos_drop_worst=0.0, speaker_cosine=1.0, speaker_cosine_worst=1.0)
"""Of the voice the others are compared with."""


def loss_gates(
    stage: str, title: str, found: VoiceScores, before: VoiceScores, limits: VoiceLoss, *, trained: bool
) -> tuple[Gate, ...]:
    """Whether a stage lost little enough to go on.

    Args:
        stage: its name.
        title: its title.
        found: of the stage.
        before: of the stage before it.
        limits: of the recipe.
        trained: whether the weights say anything; the gates are skipped otherwise.
    """
    why = _NOT_INSTALLED if trained else _RANDOM
    drop = _difference(found.mos_drop, before.mos_drop) if trained else None
    loss = _difference(before.speaker_cosine, found.speaker_cosine) if trained else None
    explanation = "Mean over the held-out sentences; the next stage begins only where this holds."
    return (
        judge(
            f"{stage}_mos_drop", f"{title}: DistillMOS below the stage before", drop, "points", limits.mos_drop_max,
            "<=", explanation, skipped_because=why,
        ),
        judge(
            f"{stage}_speaker_cosine_loss", f"{title}: speaker similarity below the stage before", loss, "cosine",
            limits.speaker_cosine_loss_max, "<=", explanation, skipped_because=why,
        ),
    )  # fmt: skip


def whole_voice_gates(limits: VoiceStackGates, stages: Sequence[StackStage], raced: Race | None) -> tuple[Gate, ...]:
    """What the last stage is held to against the voice that was given.

    Args:
        limits: of the recipe.
        stages: the voice as given first, the quantised one last.
        raced: times of every stage's sentence.
    """
    gates = []
    if limits.bytes_ratio_min is not None:
        gates.append(bytes_gate(stages, limits.bytes_ratio_min))
    if limits.sentence_latency_ratio_max is not None:
        title = "stacked sentence over the float32 sentence of the voice given"
        gates.append(latency_gate("sentence", title, stages, raced, limits.sentence_latency_ratio_max))
    return tuple(gates)


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
