"""Section 3: who computes what."""

from __future__ import annotations

from collections import Counter

from toolkit.report import charts
from toolkit.report import selection as pick
from toolkit.report.blocks import Block, Cell, Column, Figure, Folded, Heading, Legend, Note, Section, Table
from toolkit.report.format import count, percent, size
from toolkit.report.sections import gpu_execution, npu_compilation
from toolkit.report.sections.verdict import unit_class
from toolkit.results import OpPlacement, Placement, RunResult

_MAX_ROWS = 12


def build(result: RunResult) -> Section:
    """Overview, ribbons of the main part, and every refusal with its reason."""
    if not result.delegation:
        return Section(
            id="delegation",
            title="Delegation",
            blocks=(pick.missing(result, "delegation", "no delegate was asked for"),),
        )
    head = pick.headline_placement(result)
    shown = [p for p in result.delegation if head is not None and p.part == head.part]
    methods = sorted({p.method for p in result.delegation})
    blocks: list[Block] = [_overview(result)]
    blocks += gpu_execution.blocks(result)
    blocks += npu_compilation.blocks(result)
    blocks += [_ribbon(p) for p in shown]
    blocks += _fallbacks(result)
    blocks += _wrong(result)
    blocks += _notes(result)
    lead = f"How it is known: {'; '.join(methods)}. No phone was asked."
    return Section(id="delegation", title="Delegation", lead=lead, blocks=tuple(blocks))


def _notes(result: RunResult) -> list[Block]:
    """What holds for several parts, then what is of one part alone, by its name."""
    whose: dict[str, list[Placement]] = {}
    for placement in result.delegation:
        for text in placement.notes:
            whose.setdefault(text, []).append(placement)
    several = len({p.part for p in result.delegation}) > 1
    shared = [text for text, of in whose.items() if len({p.part for p in of}) > 1 or not several]
    own = [
        f"{of[0].part}, {', '.join(pick.DELEGATE_TITLES[p.delegate] for p in of)}: {text}"
        for text, of in whose.items()
        if text not in shared
    ]
    notes: list[Block] = [Note(text=text) for text in shared]
    if own:
        notes.append(Folded(summary=f"{len(own)} remarks on single parts", blocks=tuple(Note(text=t) for t in own)))
    return notes


def _overview(result: RunResult) -> Table:
    rows = []
    for p in result.delegation:
        ratio = p.delegated_ops / p.total_ops if p.total_ops else 0.0
        rows.append(
            (
                Cell(text=p.part),
                Cell(text=pick.DELEGATE_TITLES[p.delegate], sub=p.level),
                Cell(text=f"{p.delegated_ops} of {p.total_ops}"),
                Cell(chart=charts.share_bar(ratio, unit_class(p.delegate), f"{percent(ratio)} of operators")),
                Cell(text=percent(p.delegated_macs_ratio)),
                Cell(text=str(p.partitions), tone="good" if p.fully_delegated else "strong"),
                Cell(text=str(p.transitions)),
                Cell(text=size(p.transition_bytes)),
                Cell(
                    text=str(len(p.wrong_results)) if p.wrong_results else "0",
                    tone="bad" if p.wrong_results else "muted",
                ),
            )
        )
    columns = (
        Column(title="Part"),
        Column(title="Delegate"),
        Column(title="Operators", number=True),
        Column(title="", wide=True),
        Column(title="Multiply-adds", number=True),
        Column(title="Partitions", number=True),
        Column(title="Hand-overs", number=True),
        Column(title="Handed over", number=True),
        Column(title="Known wrong", number=True),
    )
    return Table(
        columns=columns,
        rows=tuple(rows),
        caption="Known wrong: accepted operators that are known to compute wrong values there.",
    )


def _state(op: OpPlacement, placement: Placement) -> tuple[str, str]:
    """Colour class of an operator, and where it runs in words."""
    if op.partition is not None:
        title = pick.DELEGATE_TITLES[placement.delegate]
        return unit_class(placement.delegate), f"{title}, partition {op.partition + 1}"
    return ("u-dropped", "CPU, partition too small") if op.accepted else ("u-cpu", "CPU")


_STATE_TITLES = {
    "u-nnapi": "NNAPI",
    "u-gpu": "GPU",
    "u-xnnpack": "XNNPACK (CPU)",
    "u-cpu": "refused: plain CPU",
    "u-dropped": "accepted, left on the CPU",
}


def _ribbon(p: Placement) -> Figure:
    """Operators in execution order. Float16 constants that are read in place cost nothing and are only counted."""
    cells = []
    for op in p.ops:
        if op.folded:
            continue
        css, where = _state(op, p)
        why = f" | {op.reason}" if op.reason and not op.accepted else ""
        cells.append((css, f"{op.index}: {op.op} {op.name} | {where}{why}"))
    used = {css for css, _ in cells}
    folded = sum(op.folded for op in p.ops)
    label = f"{p.part} under {p.delegate}: {p.delegated_ops} of {p.total_ops} operators delegated"
    return Figure(
        chart=charts.ribbon(_merge(cells or [("u-cpu", "empty graph")]), label),
        title=f"{p.part} · {pick.DELEGATE_TITLES[p.delegate]}" + (f" · {p.level}" if p.level else ""),
        caption=f"Not drawn: {folded} constants that are stored in fewer bits and read in place." if folded else "",
        legend=tuple(Legend(swatch=css, text=text) for css, text in _STATE_TITLES.items() if css in used),
        padded=False,
    )


def _merge(cells: list[tuple[str, str]], limit: int = 240) -> list[tuple[str, str]]:
    """One cell an operator up to ``limit``; beyond it neighbours share cells, so that the page stays small."""
    if len(cells) <= limit:
        return cells
    step = -(-len(cells) // limit)
    merged = []
    for start in range(0, len(cells), step):
        group = cells[start : start + step]
        refused = next((c for c in group if c[0] == "u-cpu"), group[0])
        merged.append(refused)
    return merged


def _fallbacks(result: RunResult) -> list[Block]:
    groups: Counter[tuple[str, str, str, str, str, str]] = Counter()
    where: dict[tuple[str, str, str, str, str, str], str] = {}
    for p in result.delegation:
        for op in p.ops:
            if not op.accepted:
                key = (p.part, p.delegate, op.op, op.reason, op.hint, op.source)
                groups[key] += 1
                where.setdefault(key, op.name)
    if not groups:
        return [Note(text="No operator is refused by any delegate.")]
    asked = pick.headline_placement(result)
    first = asked.delegate if asked else ""
    ordered = sorted(groups.items(), key=lambda item: (item[0][1] != first, item[0][1], -item[1], item[0]))
    rows = tuple(
        (
            Cell(text=pick.DELEGATE_TITLES[delegate], sub=part),
            Cell(text=op, sub=where[key] if number == 1 else f"first: {where[key]}"),
            Cell(text=count(number)),
            Cell(text=reason, sub=source),
            Cell(text=hint),
        )
        for key, number in ordered
        for part, delegate, op, reason, hint, source in (key,)
    )
    columns = (
        Column(title="Delegate"),
        Column(title="Operator"),
        Column(title="Count", number=True),
        Column(title="Why it is refused"),
        Column(title="What to do"),
    )
    return [
        Heading(text="What falls back, and why"),
        Table(columns=columns, rows=rows, fold_after=_MAX_ROWS, form="stacking"),
    ]


def _wrong(result: RunResult) -> list[Block]:
    rows = tuple(
        (
            Cell(text=pick.DELEGATE_TITLES[p.delegate], sub=p.part),
            Cell(text=op.op, sub=op.name),
            Cell(text=op.reason, sub=op.source),
            Cell(text=op.hint),
        )
        for p in result.delegation
        for op in p.wrong_results
    )
    if not rows:
        return []
    columns = (
        Column(title="Delegate"),
        Column(title="Operator"),
        Column(title="How it goes wrong"),
        Column(title="What to do"),
    )
    return [
        Folded(
            summary=f"{len(rows)} accepted operators are known to compute wrong values",
            blocks=(Table(columns=columns, rows=rows, fold_after=_MAX_ROWS),),
        )
    ]
