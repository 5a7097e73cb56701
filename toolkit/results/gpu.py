"""What became of a part on LiteRT's GPU accelerator, executed on a software GPU, and what float16 would cost it."""

from __future__ import annotations

from typing import Literal

from toolkit.results.record import Record


class GpuOutput(Record):
    """One output of the GPU against TFLite's reference kernels. ``snr_db`` is None where they are equal."""

    name: str
    snr_db: float | None
    judgement: Literal["right", "inexact", "wrong"]


class Float16Estimate(Record):
    """Error of emulated float16 arithmetic against float32; ``how`` says what was emulated.

    ``snr_db`` is by output; None where nothing finite came out. ``first_overflow`` and ``first_underflow`` name the
    first operator with infinite values, and the first that loses 1 % or more of its values to zero; empty for none.
    """

    how: str
    snr_db: dict[str, float | None]
    first_overflow: str = ""
    first_underflow: str = ""
    weakest: str = ""


class GpuExecution(Record):
    """A file of a part on the executed accelerator.

    ``gpu_ops`` of ``gpu_ops + cpu_ops`` operators ran there; ``tables_ops`` is what the static tables say. No latency:
    a software GPU's means nothing. Where ``compared`` is false the graph was placed and not computed; ``macs`` are its
    multiply-adds.
    """

    part: str
    variant: Literal["float32", "result"]
    how: str
    accepted: bool
    reason: str = ""
    gpu_ops: int
    cpu_ops: int
    tables_ops: int
    macs: int | None = None
    compared: bool = True
    outputs: tuple[GpuOutput, ...] = ()
    float16: Float16Estimate | None = None

    @property
    def worst_snr_db(self) -> float | None:
        """The lowest level of all outputs; None where all are equal or nothing ran."""
        return min((o.snr_db for o in self.outputs if o.snr_db is not None), default=None)

    @property
    def wrong(self) -> bool:
        """Whether an output is silently wrong."""
        return any(output.judgement == "wrong" for output in self.outputs)
