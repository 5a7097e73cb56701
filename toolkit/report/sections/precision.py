"""Section 6: which precision was asked for, and which one the file has."""

from __future__ import annotations

from collections import Counter

from toolkit.report import charts
from toolkit.report import selection as pick
from toolkit.report.blocks import Block, Cell, Column, Figure, Folded, Grid, Heading, Legend, Note, Section, Table
from toolkit.report.format import count, percent, sig3, size
from toolkit.results import RunResult

DTYPES = ("int8", "int8-weights", "int8-storage", "int16x8", "float16", "float32")


def dtype_class(name: str) -> str:
    """Colour class of a stored type."""
    return f"d-{name}" if name in DTYPES else "d-other"


def build(result: RunResult) -> Section:
    """Matrix of operator kinds and types, overrides, and every difference."""
    if not result.precision:
        return Section(
            id="precision", title="Precision", blocks=(pick.missing(result, "precision", "no audit was run"),)
        )
    matrices = _matrices(result)
    blocks: list[Block] = [
        *_work(result),
        Heading(text="Operators by kind and precision"),
        # Three side by side hold a name and two types each.
        Grid(blocks=matrices, columns=min(3 if max(len(m.columns) for m in matrices) <= 3 else 2, len(matrices))),
    ]
    blocks += _differences(result)
    blocks += _overrides(result)
    lead = "Read back from the flatbuffer, operator by operator: what was asked for against what the file really holds."
    return Section(id="precision", title="Precision", lead=lead, blocks=tuple(blocks))


def _work(result: RunResult) -> list[Block]:
    used: dict[str, str] = {}
    rows = []
    for part in dict.fromkeys(p.part for p in result.precision):
        macs: Counter[str] = Counter()
        for p in result.precision:
            if p.part == part:
                macs[p.realised] += p.macs or 0
        whole = sum(macs.values())
        if not whole:
            continue
        known = [d for d in DTYPES if macs[d]] + [d for d in macs if d not in DTYPES and macs[d]]
        used.update({dtype_class(d): d for d in known})
        segments = [(float(macs[d]), dtype_class(d), f"{d}: {percent(macs[d] / whole)}") for d in known]
        chart = charts.stacked(segments, whole, f"Multiply-adds of {part} by precision", height=16)
        shares = ", ".join(f"{d} {percent(macs[d] / whole)}" for d in known)
        rows.append((Cell(text=part), Cell(text=sig3(whole / 1e6)), Cell(chart=chart, sub=shares)))
    if not rows:
        return []
    columns = (
        Column(title="Part"),
        Column(title="Multiply-adds", unit="millions", number=True),
        Column(title="By precision", wide=True),
    )
    legend = tuple(Legend(swatch=dtype_class(d), text=d) for d in DTYPES if dtype_class(d) in used)
    return [
        Table(columns=columns, rows=tuple(rows), form="roomy"),
        Figure(chart=charts.stacked([], 1, "legend", height=0), legend=legend, padded=False),
    ]


def _matrices(result: RunResult) -> tuple[Table, ...]:
    """A matrix a part; lengths of one graph with the same operators share theirs."""
    alike: dict[tuple[str, tuple[tuple[str, str, str], ...]], list[str]] = {}
    for part in dict.fromkeys(p.part for p in result.precision):
        own = tuple(sorted((p.kind, p.asked, p.realised) for p in result.precision if p.part == part))
        alike.setdefault((pick.base(part), own), []).append(part)
    return tuple(_matrix(result, parts[0], _together(parts)) for parts in alike.values())


def _together(parts: list[str]) -> str:
    """``t2s_step@256, @512`` of two lengths of a graph."""
    return ", ".join([parts[0], *(f"@{part.partition('@')[2]}" for part in parts[1:])])


def _matrix(result: RunResult, part: str, title: str) -> Table:
    own = [p for p in result.precision if p.part == part]
    kinds = sorted({p.kind for p in own}, key=lambda k: -sum(p.kind == k for p in own))
    types = [d for d in DTYPES if any(d in (p.realised, p.asked) for p in own)] + sorted(
        {p.realised for p in own} - set(DTYPES)
    )
    rows = []
    for kind in kinds:
        cells = [Cell(text=kind)]
        for dtype in types:
            here = [p for p in own if p.kind == kind and p.realised == dtype]
            wrong = [p for p in here if p.asked != p.realised]
            tone = "" if not here else ("mismatch" if wrong else f"dtype {dtype_class(dtype)}")
            hover = "; ".join(f"{p.op}: asked {p.asked}" for p in wrong[:6])
            cells.append(
                Cell(
                    text=count(len(here)) if here else "",
                    tone=tone,
                    hover=hover,
                    sub=f"{len(wrong)} asked otherwise" if wrong else "",
                )
            )
        rows.append(tuple(cells))
    columns = (Column(title=title), *(Column(title=d, number=True) for d in types))
    return Table(
        columns=columns,
        rows=tuple(rows),
        form="matrix",
    )


def _differences(result: RunResult) -> list[Block]:
    wrong = [p for p in result.precision if p.asked != p.realised]
    if not wrong:
        return [Note(text=f"All {count(len(result.precision))} operators have the precision that was asked for.")]
    rows = tuple(
        (
            Cell(text=p.part),
            Cell(text=p.op, mono=True),
            Cell(text=p.kind),
            Cell(text=p.asked),
            Cell(text=p.realised, tone="bad"),
            Cell(text=p.because),
        )
        for p in wrong
    )
    columns = (
        Column(title="Part"),
        Column(title="Operator"),
        Column(title="Kind"),
        Column(title="Asked"),
        Column(title="Realised"),
        Column(title="Because"),
    )
    number = "1 operator does" if len(wrong) == 1 else f"{len(wrong)} operators do"
    note = Note(text=f"{number} not have the precision that was asked for (outlined above).", tone="bad")
    return [note, Table(columns=columns, rows=rows, fold_after=10)]


def _overrides(result: RunResult) -> list[Block]:
    if not result.overrides:
        return []
    rows = tuple(
        (
            Cell(text=o.pattern, mono=True),
            Cell(text=o.precision, tone=f"dtype {dtype_class(o.precision)}"),
            Cell(text=o.because),
            Cell(text=count(len(o.matched)), hover=", ".join(o.matched[:20])),
            Cell(text=size(o.cost_bytes)),
            Cell(text=sig3(o.cost_ms)),
            Cell(text=sig3(o.gain_db)),
        )
        for o in result.overrides
    )
    columns = (
        Column(title="Rule"),
        Column(title="Precision"),
        Column(title="Because"),
        Column(title="Layers", number=True),
        Column(title="Costs", number=True),
        Column(title="Costs", unit="ms", number=True),
        Column(title="Gains", unit="dB", number=True),
    )
    names = Folded(
        summary="Layers each rule matched",
        blocks=(
            Table(
                columns=(Column(title="Rule"), Column(title="Layers")),
                rows=tuple(
                    (Cell(text=o.pattern, mono=True), Cell(text=", ".join(o.matched), mono=True))
                    for o in result.overrides
                ),
            ),
        ),
    )
    return [Heading(text="Rules of the recipe"), Table(columns=columns, rows=rows, caption="– : not measured."), names]
