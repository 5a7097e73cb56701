"""Section 4: where the time goes."""

from __future__ import annotations

from collections import Counter

from toolkit.report import charts
from toolkit.report import selection as pick
from toolkit.report.blocks import Block, Cell, Column, Section, Table
from toolkit.report.format import count, milliseconds, percent, sig3
from toolkit.results import RunResult

_TOP = 15


def build(result: RunResult) -> Section:
    """Measured time by operator type where there is any; multiply-adds by operator otherwise, said to be just that."""
    if result.op_times:
        hows = sorted({t.how for t in result.op_times if t.how})
        lead = "Measured on the host CPU" + (f": {'; '.join(hows)}." if hows else ".")
        blocks = tuple(_times(result, part) for part in dict.fromkeys(t.part for t in result.op_times))
        return Section(id="operators", title="Where the time goes", lead=lead, blocks=blocks)
    why = pick.missing(result, "operators", "the interpreter's Python interface reports no time per operator")
    return Section(id="operators", title="Where the work is", lead="", blocks=(why, *_macs(result)))


def _times(result: RunResult, part: str) -> Table:
    own = [t for t in result.op_times if t.part == part]
    shipped = [t for t in own if t.variant == "result"] or own
    before = {(t.op_type, t.name): t for t in own if t.variant == "float32" and t not in shipped}
    ordered = sorted(shipped, key=lambda t: -t.ms)[:_TOP]
    whole = sum(t.ms for t in shipped)
    top = max(t.ms for t in own)
    running = 0.0
    rows = []
    for t in ordered:
        running += t.ms
        bar = charts.share_bar(t.ms / top, "v-result", f"{t.op_type}: {percent(t.ms / whole)}")
        base = before.get((t.op_type, t.name))
        cells = [Cell(text=t.name or t.op_type, sub=t.op_type if t.name else ""), Cell(text=count(t.count))]
        if before:
            cells.append(
                Cell(
                    text="–" if base is None else sig3(base.ms),
                    sub="" if base is None or base.count == t.count else f"{base.count} ×",
                )
            )
        cells += [Cell(text=sig3(t.ms), tone="strong"), Cell(chart=bar), Cell(text=percent(t.ms / whole))]
        rows.append((*cells, Cell(text=percent(running / whole))))
    columns = [Column(title="Operator"), Column(title="Count", number=True)]
    if before:
        columns.append(Column(title="float32", unit="ms", number=True))
    columns += [
        Column(title=pick.VARIANT_TITLES.get(shipped[0].variant, shipped[0].variant), unit="ms", number=True),
        Column(title="", wide=True),
        Column(title="Share", number=True),
        Column(title="Cumulative", number=True),
    ]
    total_before = f", float32 {milliseconds(sum(b.ms for b in before.values()))}" if before else ""
    totals = f" Sum {milliseconds(whole)}{total_before}."
    return Table(columns=tuple(columns), rows=tuple(rows), caption=f"{part}, {shipped[0].threads} threads.{totals}")


def _macs(result: RunResult) -> tuple[Block, ...]:
    head = pick.headline_placement(result)
    if head is None or not any(op.macs for op in head.ops):
        return ()
    macs: Counter[str] = Counter()
    number: Counter[str] = Counter()
    for op in head.ops:
        macs[op.op] += op.macs or 0
        number[op.op] += 1
    whole = sum(macs.values())
    rows = []
    running = 0
    for kind, found in sorted(macs.items(), key=lambda item: (-item[1], -number[item[0]]))[:_TOP]:
        running += found
        rows.append(
            (
                Cell(text=kind),
                Cell(text=count(number[kind])),
                Cell(text=sig3(found / 1e6)),
                Cell(chart=charts.share_bar(found / whole, "v-result", percent(found / whole))),
                Cell(text=percent(found / whole)),
                Cell(text=percent(running / whole)),
            )
        )
    columns = (
        Column(title="Operator"),
        Column(title="Count", number=True),
        Column(title="Multiply-adds", unit="millions", number=True),
        Column(title="", wide=True),
        Column(title="Share", number=True),
        Column(title="Cumulative", number=True),
    )
    caption = (
        f"{head.part}: multiply-adds counted from shapes. Operators without any (adds, activations) take time too."
    )
    return (Table(columns=columns, rows=tuple(rows), caption=caption),)
