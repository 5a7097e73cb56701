"""Latency on a device nobody had at hand, next to what was measured and never mixed with it."""

from __future__ import annotations

from toolkit.report.blocks import Block, Cell, Column, Heading, Note, Table
from toolkit.report.format import sig3
from toolkit.results import LatencyEstimate, RunResult
from toolkit.results.estimate import TOTAL

_COLUMNS = (
    Column(title="Part"),
    Column(title="Device, unit"),
    Column(title="Estimated", unit="ms", number=True),
    Column(title="8 of 10 between", unit="ms", number=True),
    Column(title="Median error", number=True),
)


def blocks(result: RunResult) -> tuple[Block, ...]:
    """Heading, table and what was assumed; nothing where nothing was estimated."""
    if not result.estimates:
        return ()
    rows = tuple(_row(each) for each in result.estimates)
    notes = dict.fromkeys(note for each in result.estimates for note in each.notes)
    return (
        Heading(text="Estimated, not measured"),
        Table(
            columns=_COLUMNS,
            rows=rows,
            caption=f"How: {result.estimates[0].how}. The error is that on networks and devices left out.",
        ),
        *(Note(text=note) for note in notes),
    )


def _row(each: LatencyEstimate) -> tuple[Cell, ...]:
    split = ", ".join(f"{unit} {sig3(ms)} ms" for unit, ms in each.unit_ms.items()) if len(each.unit_ms) > 1 else ""
    known = each.low_ms is not None and each.high_ms is not None
    return (
        Cell(text=each.part, tone="strong" if each.part == TOTAL else ""),
        Cell(text=f"{each.device}, {each.unit}", sub=split),
        Cell(text=sig3(each.ms), sub="estimated", tone="strong"),
        Cell(text=f"{sig3(each.low_ms)} to {sig3(each.high_ms)}" if known else "unknown"),
        Cell(text="unknown" if each.median_error is None else f"{each.median_error:.0%}"),
    )
