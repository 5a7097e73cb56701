"""In section 5: the configurations that were tried, the shipped one among those that no other beats."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.report.blocks import Block, Cell, Column, Folded, Heading, Table
from toolkit.report.format import decibels, percent, sig3, size
from toolkit.results import RunResult, Tried

_MOST_IN_SIGHT = 8


def build(result: RunResult) -> list[Block]:
    """The best configurations in sight, all of them folded away; nothing where none was tried."""
    if not result.tried:
        return []
    caption = (
        "● shipped. MACs: multiply-adds. Bytes and latency are over float32; drops are DistillMOS points below the "
        "float voice; cosine is the speaker's."
    )
    if len(result.tried) <= _MOST_IN_SIGHT:
        return [Heading(text="What was tried"), _table(result.tried, caption)]
    best = best_of(result.tried)
    count = len(result.tried)
    said = f"{len(best)} of {count} configurations: the shipped one, and those no other beats in all of worst drop, "
    return [
        Heading(text="What was tried"),
        _table(best, f"{said}multiply-adds in float and bytes. {caption}"),
        Folded(summary=f"All {count} configurations", blocks=(_table(result.tried, ""),)),
    ]


def best_of(tried: Sequence[Tried]) -> tuple[Tried, ...]:
    """The shipped configuration and the files no other beats in all of worst drop, float multiply-adds and bytes.

    Simulations, which are of no file, are left out; the smallest worst drops come first, `_MOST_IN_SIGHT` of them.
    """
    files = [(t, found) for t in tried if (found := _judged(t)) is not None]
    front = [t for t, mine in files if not any(_beats(other, mine) for _, other in files)]
    front.sort(key=lambda t: t.mos_drop_worst or 0.0)
    shipped = [t for t in tried if t.chosen]
    return (*shipped, *[t for t in front if not t.chosen][: _MOST_IN_SIGHT - len(shipped)])


def _judged(t: Tried) -> tuple[float, float, float] | None:
    if t.mos_drop_worst is None or t.float_macs_ratio is None or t.bytes_ratio is None:
        return None
    return t.mos_drop_worst, t.float_macs_ratio, t.bytes_ratio


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _table(tried: Sequence[Tried], caption: str) -> Table:
    columns = (
        Column(title="Configuration"),
        Column(title="MACs in float", number=True),
        Column(title="Size", number=True),
        Column(title="Bytes", number=True),
        Column(title="Signal to noise", number=True),
        Column(title="MOS drop", number=True),
        Column(title="Worst drop", number=True),
        Column(title="Cosine", number=True),
        Column(title="Latency", number=True),
        Column(title="Steps", number=True),
    )
    return Table(columns=columns, rows=tuple(_attempt(t) for t in tried), caption=caption)


def _attempt(t: Tried) -> tuple[Cell, ...]:
    tone = "strong" if t.chosen else ""
    snr = "–" if t.snr_db is None else decibels(t.snr_db)
    cosine = "–" if t.speaker_cosine is None else f"{t.speaker_cosine:.4f}"
    return (
        Cell(text=("● " if t.chosen else "") + t.name, sub=" · ".join(x for x in (t.part, t.note) if x), tone=tone),
        Cell(text=percent(t.float_macs_ratio)),
        Cell(text=size(t.size_bytes)),
        Cell(text=sig3(t.bytes_ratio)),
        Cell(text=snr),
        Cell(text=sig3(t.mos_drop_mean)),
        Cell(text=sig3(t.mos_drop_worst)),
        Cell(text=cosine),
        Cell(text=sig3(t.latency_ratio)),
        Cell(text="–" if t.train_steps is None else str(t.train_steps)),
    )
