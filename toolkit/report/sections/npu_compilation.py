"""Beside the static placement: what Qualcomm's compiler took, or that it was not asked."""

from __future__ import annotations

from toolkit.report.blocks import Block, Cell, Column, Heading, Note, Table
from toolkit.results import NpuCompilation, RunResult

_SHOWN = 6


def blocks(result: RunResult) -> list[Block]:
    """A table of the compiled files; nothing where the NPU was not asked for."""
    missing = result.not_measured.get("npu_compilation")
    silent = f"Qualcomm's compiler gave no answer: {missing}."
    notes: list[Block] = [Note(text=silent, tone="missing")] if missing else []
    if not result.npu_compilations:
        return notes
    columns = (
        Column(title="Part"),
        Column(title="Chip"),
        Column(title="On the NPU", number=True),
        Column(title="By static rules", number=True),
        Column(title="Partitions", number=True),
        Column(title="Refused"),
    )
    rows = tuple(_row(row) for row in result.npu_compilations)
    caption = f"{result.npu_compilations[0].how}."
    return [Heading(text="Asked of Qualcomm's compiler"), Table(columns=columns, rows=rows, caption=caption), *notes]


def _row(row: NpuCompilation) -> tuple[Cell, ...]:
    fewer = row.taken_ops < row.tables_ops
    more = f" and {len(row.refused) - _SHOWN} more" if len(row.refused) > _SHOWN else ""
    return (
        Cell(text=row.part, sub="as shipped"),
        Cell(text=row.soc),
        Cell(text=f"{row.taken_ops} of {row.total_ops}", tone="bad" if fewer else "good"),
        Cell(text=str(row.tables_ops), tone="bad" if row.taken_ops != row.tables_ops else "muted"),
        Cell(text=str(row.partitions)),
        Cell(text=(", ".join(row.refused[:_SHOWN]) or "nothing") + more),
    )
