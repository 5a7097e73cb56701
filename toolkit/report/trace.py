"""Timed operators as a trace for https://ui.perfetto.dev or chrome://tracing; stages where no operator was timed.

Format: the JSON object format of Google's "Trace Event Format"
(docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU): complete events (``ph: X``) with ``ts`` and
``dur`` in microseconds, names as metadata events (``ph: M``).

No tool recorded these timelines. An operator's time is measured, its beginning is not: operators are laid end to end in
execution order, and every event says how its time was measured. Stages take minutes where operators take microseconds:
on one time line the operators would be a hair's breadth, so both never stand in one file (the page lists stages too).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from toolkit.results import RunResult

FILE = "trace.json"
_LAID = "laid end to end in execution order; durations are measured, beginnings are not"


def trace(result: RunResult) -> dict[str, Any] | None:
    """The trace; None when the result holds neither stages nor timed operators."""
    events: list[dict[str, Any]] = []
    for number, (title, tracks) in enumerate(_processes(result).items(), 1):
        events.append(_named("process_name", title, number, 0))
        for line, (track, spans) in enumerate(tracks.items(), 1):
            events.append(_named("thread_name", track, number, line))
            events += _laid(spans, number, line)
    if not events:
        return None
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"model": result.run.model, "run": result.run.id, "beginnings": _LAID},
    }


Span = tuple[str, str, float, dict[str, Any]]
"""Name, category, milliseconds, and what else is known."""


def _processes(result: RunResult) -> dict[str, dict[str, Iterable[Span]]]:
    """Spans by process title and track title."""
    found: dict[str, dict[str, Any]] = {}
    for run in result.op_runs:
        track = found.setdefault(f"{run.part}, host CPU", {}).setdefault(f"{run.variant}, {run.threads} thread(s)", [])
        track.append((run.op_type, "operator", run.ms, {"index": run.index, "tensor": run.name, "how": run.how}))
    for latency in result.phone.latencies if result.phone else ():
        if latency.ops:
            spans = [
                (
                    op.op_type,
                    "delegate" if op.delegated else "operator",
                    op.avg_ms,
                    {"name": op.name, "calls": op.calls},
                )
                for op in latency.ops
            ]
            found.setdefault(f"{latency.part}, {latency.where}", {})[f"{latency.variant}, {latency.delegate}"] = spans
    if result.stages and not found:
        spans = [(stage.name, "stage", 1000.0 * stage.seconds, dict(stage.facts)) for stage in result.stages]
        found["conversion"] = {"stages": spans}
    return found


def _laid(spans: Iterable[Span], process: int, thread: int) -> Iterator[dict[str, Any]]:
    begin_us = 0.0
    for name, category, milliseconds, facts in spans:
        duration_us = round(1000.0 * milliseconds, 3)
        yield {
            "name": name,
            "cat": category,
            "ph": "X",
            "ts": round(begin_us, 3),
            "dur": duration_us,
            "pid": process,
            "tid": thread,
            "args": facts,
        }
        begin_us += duration_us


def _named(kind: str, title: str, process: int, thread: int) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "ts": 0, "pid": process, "tid": thread, "args": {"name": title}}
