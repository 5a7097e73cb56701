"""Section 4: where the time goes."""

from __future__ import annotations

from collections import Counter

from toolkit.report import charts
from toolkit.report import selection as pick
from toolkit.report.blocks import Block, Cell, Column, Section, Table
from toolkit.report.format import count, percent, sig3
from toolkit.results import RunResult

_TOP = 15


def build(result: RunResult) -> Section:
    """Measured time by operator type where there is any; multiply-adds by operator otherwise, said to be just that."""
    if result.op_times:
        return Section(
            id="operators", title="Where the time goes", lead="Measured on the host CPU.", blocks=(_times(result),)
        )
    why = pick.missing(result, "operators", "the interpreter's Python interface reports no time per operator")
    return Section(id="operators", title="Where the work is", lead="", blocks=(why, *_macs(result)))


def _times(result: RunResult) -> Table:
    ordered = sorted(result.op_times, key=lambda t: -t.ms)[:_TOP]
    whole = sum(t.ms for t in result.op_times)
    running = 0.0
    rows = []
    for t in ordered:
        running += t.ms
        share = t.ms / whole
        rows.append(
            (
                Cell(text=t.name or t.op_type, sub=t.op_type if t.name else ""),
                Cell(text=count(t.count)),
                Cell(text=sig3(t.ms)),
                Cell(chart=charts.share_bar(t.ms / ordered[0].ms, "v-result", f"{percent(share)}")),
                Cell(text=percent(share)),
                Cell(text=percent(running / whole)),
            )
        )
    first = result.op_times[0]
    columns = (
        Column(title="Operator"),
        Column(title="Count", number=True),
        Column(title="Time", unit="ms", number=True),
        Column(title="", wide=True),
        Column(title="Share", number=True),
        Column(title="Cumulative", number=True),
    )
    return Table(
        columns=columns,
        rows=tuple(rows),
        caption=f"{first.part}, {pick.VARIANT_TITLES.get(first.variant, first.variant)}, {first.threads} threads.",
    )


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
