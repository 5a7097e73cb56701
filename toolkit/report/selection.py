"""Picks out of a result what the sections show, so that all of them agree on it."""

from __future__ import annotations

from toolkit.report.blocks import Note
from toolkit.results import Gate, GpuExecution, Latency, LatencyComparison, Memory, Metric, Placement, RunResult

SECTIONS = (
    "verdict",
    "run",
    "latency",
    "delegation",
    "operators",
    "fidelity",
    "precision",
    "size",
    "tradeoff",
    "history",
    "warnings",
    "reproduce",
)
"""Ids of the page's sections, in reading order; a warning may point at one."""

VARIANT_TITLES = {"float32": "float32", "result": "shipped"}
DELEGATE_TITLES = {
    "nnapi": "NNAPI",
    "gpu_classic": "GPU (TFLite delegate)",
    "gpu_litert": "GPU (LiteRT)",
    "xnnpack": "CPU (XNNPACK)",
    "coreml": "Core ML",
    "qnn": "NPU (Qualcomm)",
}


def base(part: str) -> str:
    """Name of a part without its bucket: ``decoder`` of ``decoder@256``."""
    return part.partition("@")[0]


def part_title(result: RunResult, part: str) -> str:
    """A part as a reader knows it: ``total`` is the whole sentence where one was said."""
    return "whole sentence" if part == "total" and result.sentence is not None else part


def main_part(result: RunResult) -> str:
    """The part the headline speaks of: the largest decoder, the whole model, or what took longest."""
    parts = {x.part for x in result.latency} or {x.part for x in result.delegation}
    for wanted in ("total", "decoder", "model"):
        found = sorted((p for p in parts if base(p) == wanted), key=_bucket)
        if found:
            return found[-1]
    slowest = sorted(result.latency, key=lambda x: x.stats.p50_ms)
    return slowest[-1].part if slowest else min(parts, default="")


def _bucket(part: str) -> int:
    digits = part.partition("@")[2]
    return int(digits) if digits.isdigit() else 0


def headline_latency(result: RunResult) -> Latency | None:
    """The shipped main part with the most threads."""
    found = [x for x in result.latency if x.part == main_part(result) and x.variant == "result"]
    return max(found, key=lambda x: x.threads, default=None)


def has_reference_kernels_only(result: RunResult) -> bool:
    """Whether the part the report is about has 16-bit activations, which a CPU has no fast kernels for."""
    main = base(main_part(result))
    return any(row.realised == "int16x8" and base(row.part) == main for row in result.precision)


def counterpart(result: RunResult, latency: Latency) -> Latency | None:
    """The float32 measurement beside one."""
    same = (
        x for x in result.latency if (x.part, x.threads) == (latency.part, latency.threads) and x.variant == "float32"
    )
    return next(same, None)


def comparison(result: RunResult, part: str, threads: int) -> LatencyComparison | None:
    """The interleaved ratio of the shipped part over float32."""
    found = (c for c in result.comparisons if c.part == part and c.threads == threads and c.candidate == "result")
    return next(found, None)


def headline_memory(result: RunResult, variant: str = "result") -> Memory | None:
    """Peak memory of the main part, or of the part that needs most."""
    found = [m for m in result.memory if m.variant == variant]
    same = [m for m in found if base(m.part) == base(main_part(result))]
    return max(same or found, key=lambda m: m.over_runtime_bytes, default=None)


def headline_placement(result: RunResult) -> Placement | None:
    """The main part, or the one that computes most, under the delegate that was asked for."""
    asked = result.environment.delegate or "nnapi"
    wanted = {"gpu": "gpu_litert", "cpu": "xnnpack"}.get(asked, asked)
    found = [p for p in result.delegation if p.delegate == wanted]
    same = next((p for p in found if p.part == main_part(result)), None)
    # Of many parts the one that computes most speaks for them; where work is not known, the first.
    return same or max(found, key=lambda p: sum(op.macs or 0 for op in p.ops), default=None)


def executed(result: RunResult, placement: Placement) -> GpuExecution | None:
    """What the executed accelerator took of a part, as shipped where that was executed; None where it was not."""
    if placement.delegate != "gpu_litert":
        return None
    rows = [row for row in result.gpu_executions if row.part == placement.part]
    return next((row for row in rows if row.variant == "result"), rows[0] if rows else None)


def metric(result: RunResult, name: str) -> Metric | None:
    """A quality metric by its id."""
    return next((m for m in result.quality.metrics if m.metric == name), None) if result.quality else None


def gate(result: RunResult, *ids: str) -> Gate | None:
    """The first gate among the ids given."""
    return next((g for wanted in ids for g in result.gates if g.id == wanted), None)


def why_missing(result: RunResult, section: str, default: str) -> str:
    """Why a section has no data."""
    return f"Not measured: {result.not_measured.get(section, default)}"


def missing(result: RunResult, section: str, default: str) -> Note:
    """A note in place of data that is not there."""
    return Note(text=why_missing(result, section, default), tone="missing")
