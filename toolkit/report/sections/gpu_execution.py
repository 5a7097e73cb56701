"""Beside the static placement: what LiteRT's GPU accelerator did when it was executed, and what float16 costs."""

from __future__ import annotations

from toolkit.report.blocks import Block, Cell, Column, Heading, Note, Table
from toolkit.results import Float16Estimate, GpuExecution, RunResult


def blocks(result: RunResult) -> list[Block]:
    """A table of the executed files; nothing where the GPU was not asked for."""
    missing = result.not_measured.get("gpu_execution", "")
    said = f"{missing[:1].upper()}{missing[1:]}." if result.gpu_executions else f"Not executed on the GPU: {missing}."
    notes: list[Block] = [Note(text=said, tone="missing")] if missing else []
    if not result.gpu_executions:
        return notes
    columns = (
        Column(title="Part"),
        Column(title="On the GPU", number=True),
        Column(title="By the tables", number=True),
        Column(title="Against CPU", unit="dB", number=True),
        Column(title="Float16, emulated", unit="dB", number=True),
        Column(title="What float16 meets"),
    )
    how = result.gpu_executions[0].how
    emulated = next((row.float16.how for row in result.gpu_executions if row.float16), "")
    caption = f"{how[:1].upper()}{how[1:]}. Real inputs, TFLite's reference kernels as the truth. {emulated}".strip()
    rows = tuple(_row(row) for row in result.gpu_executions)
    return [Heading(text="Executed on the GPU accelerator"), Table(columns=columns, rows=rows, caption=caption), *notes]


def _row(row: GpuExecution) -> tuple[Cell, ...]:
    total = row.gpu_ops + row.cpu_ops
    level = row.worst_snr_db
    shown = "-" if not row.outputs else ("equal" if level is None else f"{level:.1f}")
    below = "silently wrong" if row.wrong else ""
    if not row.compared:
        shown, below = "–", "placed, not computed"
    differs = row.gpu_ops != row.tables_ops
    return (
        Cell(text=row.part, sub="float32" if row.variant == "float32" else "as shipped"),
        Cell(text=f"{row.gpu_ops} of {total}", sub=row.reason, tone="good" if row.accepted else "bad"),
        Cell(text=str(row.tables_ops), tone="bad" if differs else "muted"),
        Cell(text=shown, sub=below, tone="bad" if row.wrong else ""),
        Cell(text=_level(row.float16)),
        Cell(text=_met(row.float16) if row.compared else ""),
    )


def _level(found: Float16Estimate | None) -> str:
    if found is None:
        return "-"
    levels = list(found.snr_db.values())
    return "not finite" if None in levels else f"{min(level for level in levels if level is not None):.1f}"


def _met(found: Float16Estimate | None) -> str:
    if found is None:
        return "not emulated: only of float32 files"
    met = [f"overflow at {found.first_overflow}"] if found.first_overflow else []
    met += [f"underflow at {found.first_underflow}"] if found.first_underflow else []
    return "; ".join(met) or f"no overflow, no underflow; weakest: {found.weakest}"
