"""What a stack's page says of quality: by the kind of model, its columns, its words, and what was raced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from toolkit.report.blocks import Cell, Column
from toolkit.report.format import count, percent, sig3, signed
from toolkit.results import Latency
from toolkit.results.stack import StackResult, StackStage

RANDOM = "Weights are random: sizes and latency are what a trained model would have, quality there is none."


class Words(Protocol):
    """What is different between the pages of two kinds of model."""

    columns: tuple[Column, ...]
    timed: str
    """Column title of the raced ratio."""
    race: str
    """Title of the section about latency."""

    def cells(self, result: StackResult, stage: StackStage) -> tuple[Cell, ...]:
        """One for each of ``columns``."""
        ...

    def lost(self, first: StackStage, last: StackStage) -> str:
        """What the whole stack cost, for the sentence at the top; empty where nothing is known."""
        ...

    def faster(self, ratio: str) -> str:
        """What the race says, for the sentence at the top."""
        ...

    def judged(self, result: StackResult) -> str:
        """How quality was found."""
        ...

    def raced(self, entry: Latency) -> str:
        """What was raced, and how."""
        ...


@dataclass(frozen=True, slots=True)
class _CodesWords:
    """Of a text-to-semantic model."""

    columns: tuple[Column, ...] = (
        Column(title="Cross-entropy", unit="nats", number=True),
        Column(title="Top-1", number=True),
        Column(title="Same choice", number=True),
    )
    timed: str = "Step"
    race: str = "A token's time"

    def cells(self, result: StackResult, stage: StackStage) -> tuple[Cell, ...]:
        """Cross-entropy with its rise, top-1, agreement with the model given."""
        first, rise = result.stages[0], None
        if stage is not first and stage.cross_entropy_nats is not None and first.cross_entropy_nats is not None:
            rise = stage.cross_entropy_nats - first.cross_entropy_nats
        return (
            Cell(text=sig3(stage.cross_entropy_nats), sub="" if rise is None else signed(rise)),
            Cell(text=percent(stage.top1_ratio), sub=stage.judged_on),
            Cell(text=percent(stage.agreement_ratio)),
        )

    def lost(self, first: StackStage, last: StackStage) -> str:
        """The rise of the cross-entropy."""
        if first.cross_entropy_nats is None or last.cross_entropy_nats is None:
            return ""
        return f"cross-entropy {signed(last.cross_entropy_nats - first.cross_entropy_nats)} nats on held-out sentences"

    def faster(self, ratio: str) -> str:
        """A token's time."""
        return f"a token takes {ratio} of the time on this computer"

    def judged(self, result: StackResult) -> str:
        """On what, and what the bundles hold."""
        return (
            f"Quality on {count(result.predictions)} held-out predictions: codes and stop tokens, each given those "
            "before it; the same choice as the model given. Bundles hold the same graphs, all but the quantised one in "
            "float32."
        )

    def raced(self, entry: Latency) -> str:
        """The token step."""
        return (
            f"{entry.part}, {entry.threads} thread, {entry.stats.n} rounds in turns on the {entry.where}: the step as "
            "the engine takes it, cache written and logits read. Ratios are taken round by round."
        )


@dataclass(frozen=True, slots=True)
class _VoiceWords:
    """Of a voice."""

    columns: tuple[Column, ...] = (
        Column(title="DistillMOS", unit="points", number=True),
        Column(title="Speaker cosine", number=True),
    )
    timed: str = "Sentence"
    race: str = "A sentence's time"

    def cells(self, result: StackResult, stage: StackStage) -> tuple[Cell, ...]:
        """The change of predicted opinion and the speaker's similarity, with the worst sentence of each."""
        if stage.judged_on:
            worst = "" if stage.mos_drop_worst is None else f"worst {signed(-stage.mos_drop_worst)}; {stage.judged_on}"
            least = "" if stage.speaker_cosine_worst is None else f"worst {stage.speaker_cosine_worst:.3f}"
            return (
                Cell(text=signed(_negative(stage.mos_drop)), sub=worst),
                Cell(text=sig3(None) if stage.speaker_cosine is None else f"{stage.speaker_cosine:.3f}", sub=least),
            )
        reference = stage is result.stages[0] and result.trained
        empty = Cell(text=sig3(None))
        return (Cell(text=sig3(None), sub="the others are compared with it"), empty) if reference else (empty, empty)

    def lost(self, first: StackStage, last: StackStage) -> str:
        """Opinion and speaker of the last stage."""
        words = []
        if last.mos_drop is not None:
            words.append(f"predicted opinion {signed(-last.mos_drop)} points")
        if last.speaker_cosine is not None:
            words.append(f"the speaker's cosine is {last.speaker_cosine:.3f}")
        return "; ".join(words)

    def faster(self, ratio: str) -> str:
        """A sentence's time."""
        return f"a sentence takes {ratio} of the time on this computer"

    def judged(self, result: StackResult) -> str:
        """On what, against what, and what the bundles hold."""
        return (
            f"Quality on {count(result.utterances)} held-out sentences with the same noise and durations, against "
            f"{result.against}: change of predicted opinion, cosine of resemblyzer's d-vectors (the same speaker gives "
            "above 0.88). Bundles are whole, durations included, all but the quantised one in float32."
        )

    def raced(self, entry: Latency) -> str:
        """The whole sentence."""
        said = f"a sentence of {sig3(entry.audio_seconds)} s" if entry.audio_seconds else "a sentence"
        return (
            f"{said[0].upper()}{said[1:]} by encoder, durations, flow and decoder, {entry.threads} thread, "
            f"{entry.stats.n} rounds in turns on the {entry.where}; every stage says as many frames. Ratios are taken "
            "round by round."
        )


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


WORDS: dict[str, Words] = {"t2s": _CodesWords(), "voice": _VoiceWords()}
"""By the family of a `StackResult`."""
