"""A whole sentence: what a user of a bundle of many graphs waits for, and where the time goes."""

from __future__ import annotations

from toolkit.report import charts
from toolkit.report import selection as pick
from toolkit.report.blocks import Block, Card, Cell, Column, Figure, Legend, Note, Table
from toolkit.report.format import change, percent, seconds, sig3
from toolkit.results import RunResult, SentencePhases

TITLE = "Whole sentence"
_PHASES = (("prefill_ms", "prefill"), ("steps_ms", "tokens"), ("acoustics_ms", "encoder and flow"),
           ("vocoder_ms", "vocoder"))  # fmt: skip
_COLOURS = ("heat2", "v-result", "d-other", "d-int8-storage")


def shipped(result: RunResult, variant: str = "result") -> SentencePhases | None:
    """Phases of a variant, where a sentence was said."""
    if result.sentence is None:
        return None
    return next((one for one in result.sentence.phases if one.variant == variant), None)


def words(result: RunResult) -> str:
    """First audio and the ratio to float32, to follow the time of the whole; empty without a sentence."""
    found, head = shipped(result), pick.headline_latency(result)
    if found is None or head is None:
        return ""
    said = [f"first audio after {seconds(found.first_audio_ms / 1000)}"]
    if head.real_time_factor is not None:
        said.append(f"real-time factor {sig3(head.real_time_factor)}")
    ratio = pick.comparison(result, head.part, head.threads)
    if ratio is not None:
        said.append(f"{sig3(ratio.ratio)} of the time float32 takes")
    return ", ".join(said)


def first_audio_card(result: RunResult) -> Card | None:
    """How long it is silent, where a sentence was said."""
    found, base = shipped(result), shipped(result, "float32")
    if found is None or result.sentence is None:
        return None
    lines = [f"{percent(found.first_audio_ms / found.whole_ms)} of the sentence's time"]
    chart = None
    if base is not None:
        ratio = found.first_audio_ms / base.first_audio_ms
        lines.append(f"float32 {seconds(base.first_audio_ms / 1000)} ({change(ratio)})")
        chart = charts.bullet(
            found.first_audio_ms, None, baseline=base.first_audio_ms, label="first audio beside float32's"
        )
    return Card(
        title="First audio after",
        value=sig3(found.first_audio_ms / 1000),
        unit="s",
        href="#latency",
        lines=tuple(lines),
        chart=chart,
    )


def blocks(result: RunResult) -> tuple[Block, ...]:
    """The phases of both variants on one scale."""
    said = result.sentence
    if said is None:
        why = result.not_measured.get("sentence")
        return () if why is None else (Note(text=f"No whole sentence was timed: {why}.", tone="missing"),)
    top = max(sum(getattr(one, phase) for phase, _ in _PHASES) for one in said.phases)
    rows = []
    for one in said.phases:
        title = pick.VARIANT_TITLES.get(one.variant, one.variant)
        bar = charts.stacked(
            [
                (getattr(one, phase), _COLOURS[at], f"{name}: {seconds(getattr(one, phase) / 1000)}")
                for at, (phase, name) in enumerate(_PHASES)
            ],
            top,
            f"Phases of the sentence, {title}",
            height=16,
        )
        rows.append(
            (
                Cell(text=title),
                Cell(chart=bar),
                Cell(text=sig3(one.whole_ms / 1000), tone="strong"),
                Cell(text=sig3(one.whole_ms / 1000 / said.audio_seconds)),
                Cell(text=sig3(one.first_audio_ms / 1000)),
                *(Cell(text=sig3(getattr(one, phase) / 1000)) for phase, _ in _PHASES),
            )
        )
    columns = (
        Column(title=""),
        Column(title="Where the time goes", wide=True),
        Column(title="Whole", unit="s", number=True),
        Column(title="Real-time factor", number=True),
        Column(title="First audio", unit="s", number=True),
        *(Column(title=name.capitalize(), unit="s", number=True) for _, name in _PHASES),
    )
    caption = (
        f"{seconds(said.audio_seconds)} of sound ({said.codes} codes of {said.phones} phones), {said.threads} threads, "
        f"medians of {said.rounds} rounds; {said.how}."
    )
    legend = tuple(Legend(swatch=_COLOURS[at], text=name) for at, (_, name) in enumerate(_PHASES))
    key = Figure(chart=charts.stacked([], 1, "legend", height=0), legend=legend, padded=False)
    return (Table(columns=columns, rows=tuple(rows), caption=caption), key)
