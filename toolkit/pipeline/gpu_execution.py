"""Runs a conversion's files on LiteRT's GPU accelerator where a software GPU is installed, on the run's real inputs."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from toolkit.delegates.float16_emulation import Float16Error, OpError, emulate_float16
from toolkit.delegates.place import place
from toolkit.delegates.software_gpu import (
    LABEL,
    Executed,
    GpuJob,
    OutputError,
    execute_all,
    expected_minutes,
    multiply_adds,
    software_driver,
)
from toolkit.pipeline.benchmark import BenchPart
from toolkit.pipeline.events import StageClock
from toolkit.recipe.schema import Recipe
from toolkit.results import Float16Estimate, Gate, GpuExecution, GpuOutput, judge

FLOAT_SNR_DB_MIN = 90.0
_SHIPPED_WRONG_BELOW_DB = 10.0
NOT_INSTALLED = "no software GPU is installed (Debian: apt-get install chromium-common libvulkan1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFindings:
    """What execution found; ``missing`` says what was not executed and why."""

    executions: tuple[GpuExecution, ...] = ()
    gates: tuple[Gate, ...] = ()
    missing: dict[str, str] | None = None


def execute_parts(parts: Sequence[BenchPart], recipe: Recipe, clock: StageClock) -> GpuFindings:
    """Executes the float32 file and the result of every part, when the recipe's delegate is the GPU.

    Returns:
        One row a file; a gate on the float32 files' agreement with the CPU, and one on silently wrong outputs.
    """
    if recipe.delegate.name != "gpu":
        return GpuFindings()
    if software_driver() is None:
        return GpuFindings(gates=gates((), NOT_INSTALLED), missing={"gpu_execution": NOT_INSTALLED})
    with clock.stage("execute on a software GPU") as stage, tempfile.TemporaryDirectory() as folder:
        files = [
            _File(part, variant, path, multiply_adds(path)) for part in parts for variant, path in part.files.items()
        ]
        most = recipe.delegate.executed_gmac_max * 1e9
        jobs = [_job(file, Path(folder) / f"{number}.npz", most) for number, file in enumerate(files)]

        def told(number: int) -> None:
            clock.listener.progress(stage.name, number, len(jobs), _announced(files[number], jobs[number].computed))

        found = execute_all(jobs, told=told)
        rows = tuple(
            _row(file, executed, compared=job.computed) for file, job, executed in zip(files, jobs, found, strict=True)
        )
        stage.fact = ", ".join(
            f"{row.part} {row.gpu_ops}/{row.gpu_ops + row.cpu_ops}{'' if row.compared else ' placed'}"
            for row in rows
            if row.variant == "float32"
        )
    why = _left(rows)
    return GpuFindings(executions=rows, gates=gates(rows, why), missing={"gpu_execution": why} if why else None)


class _File(NamedTuple):
    """A file of a part, and its multiply-adds."""

    part: BenchPart
    variant: str
    path: Path
    macs: int


def _job(file: _File, arrays: Path, most: float) -> GpuJob:
    if file.macs > most:
        return GpuJob(model=file.path, computed=False)
    np.savez(arrays, **_inputs(file.part))  # type: ignore[arg-type]
    return GpuJob(model=file.path, arrays=arrays)


def _announced(file: _File, computed: bool) -> str:
    return f"{file.part.key} {file.variant}, {_work(file.macs)}" + ("" if computed else ", placed only")


def _work(macs: int) -> str:
    """How much a graph computes, and how long that takes a software GPU."""
    return f"{macs / 1e9:.3g} billion multiply-adds, about {expected_minutes(macs)} min"


def _left(rows: Sequence[GpuExecution]) -> str:
    """Which graphs were placed and not computed, how long they would take, and what computes them; empty for none."""
    macs: dict[str, int] = {}
    for row in rows:
        if not row.compared:
            macs[row.part] = max(macs.get(row.part, 0), row.macs or 0)
    if not macs:
        return ""
    named = "; ".join(f"{part}, {_work(work)}" for part, work in macs.items())
    enough = math.ceil(max(macs.values()) / 1e9)
    return f"placed there and not computed: {named} (--set delegate.executed_gmac_max={enough} computes them too)"


def gates(rows: Sequence[GpuExecution], absent: str) -> tuple[Gate, ...]:
    """Of the executed GPU: float32 files agree with the CPU, and no output is silently wrong."""
    floats = [row for row in rows if row.variant == "float32" and row.compared]
    beside = f" {absent[:1].upper()}{absent[1:]}." if floats and absent else ""
    levels = [row.worst_snr_db for row in floats if row.worst_snr_db is not None]
    level = min(levels) if levels else (math.inf if floats else None)
    return (
        judge(
            "gpu_float_snr",
            "Executed GPU against CPU, float32 files",
            None if level is None else min(level, 200.0),
            "dB",
            FLOAT_SNR_DB_MIN,
            ">=",
            f"{LABEL}; the worst output of all parts, on real inputs.{beside}",
            skipped_because=absent,
        ),
        judge(
            "gpu_wrong_outputs",
            "Files with silently wrong outputs on the GPU",
            float(sum(row.wrong for row in floats)) if floats else None,
            "files",
            0.0,
            "<=",
            "Below 40 dB against TFLite's reference kernels, float32 files.",
            skipped_because=absent,
        ),
    )


def _inputs(part: BenchPart) -> dict[str, np.ndarray]:
    """The part's real inputs in the file's layout; the process that runs the file quantises where the file does."""
    interface = part.interface
    return {
        tensor.name: np.ascontiguousarray(
            interface.layouts[tensor.name].to_target(np.asarray(part.inputs[tensor.name], tensor.dtype))
        )
        for tensor in interface.spec.inputs
    }


def _row(file: _File, executed: Executed | str, *, compared: bool) -> GpuExecution:
    part, variant, path, macs = file
    placed = place(path, part.key, "gpu_litert")
    if isinstance(executed, str):
        return GpuExecution.model_validate(
            {
                "part": part.key,
                "variant": variant,
                "how": LABEL,
                "accepted": False,
                "reason": executed,
                "gpu_ops": 0,
                "cpu_ops": placed.total_ops,
                "tables_ops": placed.delegated_ops,
                "macs": macs,
                "compared": compared,
            }
        )
    # The tables leave out DEQUANTIZE of constants that is folded into its reader; the accelerator counts it.
    by_tables = executed.gpu_ops + executed.cpu_ops if placed.fully_delegated else placed.delegated_ops
    outputs = tuple(
        GpuOutput.model_validate(
            {"name": name, "snr_db": finite(error.snr_db), "judgement": _judgement(error, variant)}
        )
        for name, error in executed.outputs.items()
    )
    return GpuExecution.model_validate(
        {
            "part": part.key,
            "variant": variant,
            "how": LABEL,
            "accepted": executed.accepted,
            "reason": executed.reason,
            "gpu_ops": executed.gpu_ops,
            "cpu_ops": executed.cpu_ops,
            "tables_ops": by_tables,
            "macs": macs,
            "compared": compared,
            "outputs": outputs,
            "float16": float16_estimate(emulate_float16(path, _inputs(part)))
            if variant == "float32" and compared
            else None,
        }
    )


def _judgement(error: OutputError, variant: str) -> str:
    """As for single operators; a shipped file's 8-bit kernels round each of its many tensors in their own way."""
    if variant == "result" and error.judgement == "wrong" and error.snr_db >= _SHIPPED_WRONG_BELOW_DB:
        return "inexact"
    return error.judgement


def float16_estimate(found: Float16Error) -> Float16Estimate:
    """The record of an emulation."""
    weakest = min(found.ops, key=lambda op: op.snr_db, default=None)
    return Float16Estimate(
        how=found.model,
        snr_db={name: finite(level) for name, level in found.snr_db.items()},
        first_overflow=_named(found.first_overflow),
        first_underflow=_named(found.first_underflow),
        weakest=f"{_named(weakest)}: {weakest.snr_db:.1f} dB" if weakest else "",
    )


def finite(level: float) -> float | None:
    """A level for JSON."""
    return round(level, 1) if math.isfinite(level) else None


def _named(op: OpError | None) -> str:
    return f"{op.index} {op.kind} {op.name}, peak {op.peak:.3g}" if op else ""
