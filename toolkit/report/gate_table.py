"""Gates as a table: what holds, what does not, and how far from the limit."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from toolkit.report import charts
from toolkit.report.blocks import Block, Cell, Column, Note, Table
from toolkit.report.format import quantity
from toolkit.results import Gate

WORDS = {"pass": "holds", "fail": "fails", "skipped": "not measured", "error": "broke"}
_GLYPHS = {"pass": "✓", "fail": "✕", "skipped": "○", "error": "!"}
_SIGNS = {"<=": "≤", ">=": "≥", "==": "="}


def gate_table(gates: Sequence[Gate]) -> Block:
    """Every gate, broken ones first, with its value against its limit."""
    if not gates:
        return Note(text="No gate was set: nothing passes or fails.", tone="missing")
    order = {"error": 0, "fail": 0, "pass": 1, "skipped": 2}
    rows = []
    for gate in sorted(gates, key=lambda g: order[g.status]):
        limit = "" if gate.limit is None else f"{_SIGNS[gate.comparison]} {quantity(gate.limit, gate.unit)}"
        rows.append(
            (
                Cell(text=f"{_GLYPHS[gate.status]} {WORDS[gate.status]}", tone=f"status {gate.status}"),
                Cell(text=gate.title, sub=gate.explanation),
                Cell(text=quantity(gate.value, gate.unit)),
                Cell(text=limit),
                Cell(chart=gate_bar(gate)),
            )
        )
    return Table(
        columns=(
            Column(title=""),
            Column(title="Gate"),
            Column(title="Value", number=True),
            Column(title="Limit", number=True),
            Column(title="Against the limit", wide=True),
        ),
        rows=tuple(rows),
        caption="Every gate of the recipe. Tick: the limit. Pale band: what it allows. Scales start at zero, or near a "
        "limit that is a floor.",
        form="stacking",
    )


def gate_bar(gate: Gate | None, baseline: float | None = None) -> Markup | None:
    """A gate's value against its limit; nothing where it was not measured."""
    if gate is None or gate.value is None:
        return None
    return charts.bullet(
        gate.value,
        gate.limit,
        higher_is_better=gate.comparison == ">=",
        baseline=baseline,
        status=gate.status,
        label=_bar_label(gate),
    )


def _bar_label(gate: Gate) -> str:
    return f"{gate.title}: {quantity(gate.value, gate.unit)}, limit {gate.comparison} {quantity(gate.limit, gate.unit)}"
