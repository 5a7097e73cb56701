"""Section 5: how close it is, to measures and to ears."""

from __future__ import annotations

from toolkit.report import charts
from toolkit.report import selection as pick
from toolkit.report.blocks import (
    Block,
    Cell,
    Column,
    Figure,
    Folded,
    Grid,
    Heading,
    Note,
    Player,
    Players,
    Section,
    Table,
)
from toolkit.report.format import decibels, seconds, sig3, signed
from toolkit.report.sections import layers, tried
from toolkit.results import Metric, MetricValue, Parity, RunResult, Utterance


def build(result: RunResult, players: tuple[Player, ...] = ()) -> Section:
    """Hop by hop, tensor by tensor, sentence by sentence."""
    blocks: list[Block] = []
    blocks += _listening(result, players)
    blocks += _ladders(result)
    blocks += layers.build(result)
    blocks += tried.build(result)
    judged = "; listening models judge the last" if result.quality is not None else ""
    lead = f"Every step from torch to the shipped file is compared on the same inputs{judged}."
    return Section(id="fidelity", title="Fidelity", lead=lead, blocks=tuple(blocks))


def _listening(result: RunResult, players: tuple[Player, ...]) -> list[Block]:
    if result.quality is None:
        return [pick.missing(result, "quality", result.not_measured.get("fidelity", "no quality metric was run"))]
    q = result.quality
    held = "not used for calibration" if q.held_out else "ALSO USED FOR CALIBRATION"
    rows = tuple(
        (
            Cell(
                text=m.title,
                sub=m.explanation + (" Shown: difference to the float voice." if _relative(m, q.utterances) else ""),
            ),
            Cell(text=_value(m, m.mean)),
            Cell(text=_value(m, m.worst)),
            Cell(text=m.worst_utterance, tone="muted"),
            Cell(text="higher" if m.higher_is_better else "lower", tone="muted"),
        )
        for m in q.metrics
    )
    columns = (
        Column(title="Metric"),
        Column(title="Mean", number=True),
        Column(title="Worst", number=True),
        Column(title="Worst at"),
        Column(title="Better"),
    )
    caption = f"{q.candidate} against {q.reference}, {len(q.utterances)} sentences {held}."
    blocks: list[Block] = [Heading(text="Listening"), Table(columns=columns, rows=rows, caption=caption)]
    if players:
        blocks.append(Players(players=players))
    elif result.clips:
        blocks.append(Note(text="The audio files of this run are not beside the page.", tone="missing"))
    blocks.append(Folded(summary=f"All {len(q.utterances)} sentences", blocks=(_sentences(q.metrics, q.utterances),)))
    return blocks


def _relative(metric: Metric, utterances: tuple[Utterance, ...]) -> bool:
    values = (u.metrics.get(metric.metric) for u in utterances)
    return any(v is not None and v.reference is not None for v in values)


def _value(metric: Metric, value: float) -> str:
    if metric.unit == "cosine":
        return f"{value:.4f}"
    text = signed(value) if metric.metric == "distillmos" else sig3(value)
    return f"{text}\u202f{metric.unit}" if metric.unit else text


def _sentences(metrics: tuple[Metric, ...], utterances: tuple[Utterance, ...]) -> Table:
    columns = (Column(title="Sentence"), *(Column(title=m.title, unit=m.unit, number=True) for m in metrics))
    rows = tuple(
        (Cell(text=u.text, sub=f"{u.id}, {seconds(u.seconds)}"), *(_measured(u.metrics.get(m.metric)) for m in metrics))
        for u in utterances
    )
    return Table(columns=columns, rows=rows)


def _measured(value: MetricValue | None) -> Cell:
    if value is None:
        return Cell(text="–", tone="muted", hover="not measured")
    if value.reference is None:
        return Cell(text=sig3(value.value) if abs(value.value) < 0.95 or abs(value.value) > 1 else f"{value.value:.4f}")
    return Cell(text=signed(value.value - value.reference), sub=f"{sig3(value.value)} / {sig3(value.reference)}")


def _ladders(result: RunResult) -> list[Block]:
    if not result.parity:
        return [pick.missing(result, "parity", "no hop was compared")]
    figures = []
    for part in dict.fromkeys(p.part for p in result.parity):
        hops: dict[str, list[Parity]] = {}
        for p in result.parity:
            if p.part == part:
                hops.setdefault(p.to, []).append(p)
        steps = []
        for to, rows in hops.items():
            finite = [r.snr_db for r in rows if r.snr_db is not None]
            limits = [r.limit_snr_db for r in rows if r.limit_snr_db is not None]
            worst, limit = min(finite, default=None), max(limits, default=None)
            steps.append(charts.Step(hop=to, snr_db=worst, limit_db=limit))
        chart = charts.ladder(steps, f"Signal to noise of {part} at each hop")
        figures.append(Figure(chart=chart, title=part))
    table = Table(
        columns=(
            Column(title="Part"),
            Column(title="Made by"),
            Column(title="Tensor"),
            Column(title="Inputs"),
            Column(title="Largest error", number=True),
            Column(title="Signal to noise", number=True),
            Column(title="Cosine", number=True),
            Column(title="Gate", number=True),
        ),
        rows=tuple(
            (
                Cell(text=p.part),
                Cell(text=f"{p.source} → {p.to}"),
                Cell(text=p.tensor, mono=True),
                Cell(text=p.inputs, tone="muted"),
                Cell(text=sig3(p.max_abs)),
                Cell(
                    text=decibels(p.snr_db),
                    tone="bad"
                    if p.limit_snr_db is not None and p.snr_db is not None and p.snr_db < p.limit_snr_db
                    else "",
                ),
                Cell(text=sig3(p.cosine)),
                Cell(text="–" if p.limit_snr_db is None else f"≥ {decibels(p.limit_snr_db)}"),
            )
            for p in result.parity
        ),
    )
    return [
        Heading(text="Hop by hop"),
        Note(
            text="Signal to noise, in dB, of each representation's output against torch, the worst output counting; "
            "100 dB is 1 part in 100 000. Dotted: the gate of a hop. “=” is bit-identical."
        ),
        Grid(blocks=tuple(figures), columns=min(3, len(figures))),
        Folded(summary=f"All {len(result.parity)} comparisons", blocks=(table,)),
    ]
