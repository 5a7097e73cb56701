"""Which layers lose quality: every operator's own error, and what has gathered along depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toolkit.report import charts
from toolkit.report import selection as pick
from toolkit.report.blocks import Block, Cell, Column, Figure, Folded, Grid, Heading, Legend, Note, Table
from toolkit.report.format import decibels
from toolkit.results import RunResult, TensorError

_WORST = 10
_CELLS, _CELLS_OF_ALL, _FEWEST_CELLS = 120, 720, 24
"""Of one strip, and of all parts together: a page with twenty parts would else be nothing but cells."""
_AUDIBLE_DB = 60.0
"""An operator that adds less than this is no reason to look at: float16 constants alone give about 75 dB."""


def build(result: RunResult) -> list[Block]:
    """Strips of every part, and a table of the operators that add most."""
    heading = Heading(text="Layer by layer")
    if not result.tensor_errors:
        return [
            heading,
            pick.missing(result, "tensor_errors", "intermediate tensors of the shipped file were not compared"),
        ]
    blocks: list[Block] = [heading, Note(text=_explanation(result.tensor_errors))]
    figures = []
    parts = list(dict.fromkeys(t.part for t in result.tensor_errors))
    most = min(_CELLS, max(_FEWEST_CELLS, _CELLS_OF_ALL // len(parts)))
    for part in parts:
        rows = sorted((t for t in result.tensor_errors if t.part == part), key=lambda t: t.index)
        if min((_own(t) for t in rows), default=_AUDIBLE_DB) < _AUDIBLE_DB:
            figures += _strips(part, rows, most)
    exact = _unremarkable(result.tensor_errors)
    if figures:
        blocks += [Grid(blocks=tuple(figures), columns=2), _worst(result.tensor_errors)]
    if exact:
        blocks.append(Note(text=f"In {', '.join(exact)} no operator adds an error above -{_AUDIBLE_DB:.0f} dB."))
    if "tensor_errors" in result.not_measured:
        blocks.append(pick.missing(result, "tensor_errors", ""))
    return blocks


def _explanation(rows: Sequence[TensorError]) -> str:
    inputs = "; ".join(dict.fromkeys(t.inputs for t in rows if t.inputs))
    return (
        "Each tensor the shipped file computes, against its layer in float with the weights the file was made of. "
        "“Own” is what the operator itself adds, fed the very values the file fed it; “gathered” is all that has come "
        "together up to there. Operators that add nothing are left out."
        + (f" Inputs: {inputs}. TensorFlow Lite's own kernels, without XNNPACK." if inputs else "")
    )


def _own(row: TensorError) -> float:
    return float("inf") if row.own_snr_db is None else row.own_snr_db


def _unremarkable(rows: Sequence[TensorError]) -> list[str]:
    parts = dict.fromkeys(t.part for t in rows)
    return [part for part in parts if min(_own(t) for t in rows if t.part == part) >= _AUDIBLE_DB]


def _strips(part: str, rows: Sequence[TensorError], most: int) -> list[Figure]:
    legend = tuple(Legend(swatch=css, text=text) for _, css, text in charts.HEAT_STEPS)
    kinds: tuple[tuple[str, Callable[[TensorError], float | None]], ...] = (
        ("own", lambda t: t.own_snr_db),
        ("gathered", lambda t: t.snr_db),
    )
    return [
        Figure(
            chart=charts.heat_strip(_cells(rows, of, most), f"Error of each tensor of {part} along depth, {kind}"),
            title=f"{part}: {kind}, {len(rows)} tensors from input to output",
            legend=legend,
            padded=False,
        )
        for kind, of in kinds
    ]


def _cells(
    rows: Sequence[TensorError], of: Callable[[TensorError], float | None], most: int
) -> list[tuple[str, float | None]]:
    """One cell for each tensor; of a long part the noisiest of each few neighbours, or the page would be all cells."""
    step = -(-len(rows) // most)
    groups = [rows[start : start + step] for start in range(0, len(rows), step)]
    chosen = [min(group, key=lambda t: float("inf") if of(t) is None else of(t) or 0.0) for group in groups]
    return [(f"{t.name}, {t.precision}" if t.precision else t.name, of(t)) for t in chosen]


def _worst(rows: Sequence[TensorError]) -> Block:
    worst = sorted((t for t in rows if t.own_snr_db is not None), key=_own)[:_WORST]
    table = Table(
        columns=(
            Column(title="Part"),
            Column(title="Layer"),
            Column(title="Precision"),
            Column(title="Own", number=True),
            Column(title="Gathered", number=True),
            Column(title="Depth", number=True),
        ),
        rows=tuple(
            (
                Cell(text=t.part),
                Cell(text=t.name, mono=True),
                Cell(text=t.precision or "–", tone="muted"),
                Cell(text=decibels(t.own_snr_db)),
                Cell(text=decibels(t.snr_db)),
                Cell(text=str(t.index)),
            )
            for t in worst
        ),
    )
    return Folded(summary=f"The {len(worst)} operators that lose most", blocks=(table,))
