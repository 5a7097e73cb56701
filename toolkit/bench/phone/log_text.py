"""What benchmark_model prints about time, memory and delegates (tflite/tools/benchmark/benchmark_model.cc).

It prints several numbers twice, in other units or at another place. All pairs must agree: that is how a line lost or
altered on the way is found out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from toolkit.bench.phone.lines import lines_of, number, positive, unreadable, whole
from toolkit.errors import BenchError
from toolkit.results import Applied, PhoneTiming

_MIB = 1 << 20
_APPLIED = re.compile(
    r"Explicitly applied (\S+) delegate, and the model graph will be (?:(completely) executed by the delegate"
    r"|partially executed by the delegate w/ (\d+) delegate kernels)\."
)
_NOT_APPLIED = re.compile(
    r"Though (\S+) delegate is explicitly applied, the model graph will not be executed by the .*\."
)
_ACCELERATORS = re.compile(r"NNAPI accelerators available: \[(.*)\]")
_INITIALISED = re.compile(r"Initialized session in (\S+?)ms\.")
_TIMINGS = re.compile(
    r"Inference timings in us: Init: (.+), First inference: (.+), Warmup \(avg\): (.+), Inference \(avg\): (.+)"
)
_MEMORY = re.compile(
    r"(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): init=(\S+) overall=(\S+)"
)
_PEAK = re.compile(r"Overall peak memory footprint \(MB\) via periodic monitoring: (\S+)")
_SIZE = re.compile(r"The input model file size \(MB\): (\S+)")
_KNOWN_STARTS = {
    "Explicitly applied": (_APPLIED,),
    "Though ": (_NOT_APPLIED,),
    "Initialized session": (_INITIALISED,),
    "Inference timings": (_TIMINGS,),
    "Memory footprint": (_MEMORY,),
    "Peak memory footprint": (_MEMORY,),
    "Overall peak memory": (_PEAK,),
    "The input model file size": (_SIZE,),
    "NNAPI accelerators": (_ACCELERATORS,),
}
_LITERT = "========== BENCHMARK RESULTS =========="
_RUNNING = "Running benchmark for at least "
_FAILURES = (
    "Disallowed CPU fallback detected.",
    "Benchmarking failed.",
    "Failed to ",
    "ERROR",
    "FATAL",
    "CANNOT LINK EXECUTABLE",
    "Segmentation fault",
    "Aborted",
    "Unconsumed cmdline flags",
    "Unrecognized",
    "inaccessible or not found",
    "Permission denied",
    "not executable",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLog:
    """What one process of benchmark_model said.

    Attributes:
        timing: its times and memory.
        applied: delegates it applied, in order.
        accelerators: NNAPI accelerators of the phone; empty where it named none.
        model_bytes: size of the file it read, six digits of it; None where it said none.
    """

    timing: PhoneTiming
    applied: tuple[Applied, ...]
    accelerators: tuple[str, ...]
    model_bytes: float | None


def failure_of(text: str) -> str:
    """The lines that say why a run failed; the last line where none does."""
    raw = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in raw if any(mark in line for mark in _FAILURES)]
    return "; ".join((told or raw or ["it printed nothing"])[-3:])


def parse_log(text: str) -> RunLog:
    """Reads what a successful run printed, from stdout or from logcat.

    Raises:
        BenchError: a line is missing, damaged, or disagrees with another.
    """
    lines = list(lines_of(text))
    if any(_LITERT in line for line in lines):
        raise BenchError(
            "this is the output of LiteRT's benchmark_litert_model, not of TFLite's benchmark_model",
            code="bench/phone-output",
            hint="it has other options and other outputs: give TFLite's, //tflite/tools/benchmark:benchmark_model",
        )
    for line in lines:
        for start, forms in _KNOWN_STARTS.items():
            if line.startswith(start) and not any(form.fullmatch(line.rstrip()) for form in forms):
                raise unreadable(f"the line {line[:90]!r} is damaged")
    timings = _only(lines, _TIMINGS, "the line 'Inference timings in us'")
    initialised = _only(lines, _INITIALISED, "the line 'Initialized session'")
    warm, steady = _two_series(lines)
    init_us, first_us, warm_avg, avg = timings.groups()
    _same(warm, "first", first_us, "time of the first inference")
    _same(warm, "avg", warm_avg, "average of the warm-up")
    _same(steady, "avg", avg, "average of the inferences")
    init_ms = positive(init_us, "the time to load") / 1e3
    if not math.isclose(init_ms, positive(initialised[1], "the time to load"), rel_tol=2e-5, abs_tol=1e-9):
        raise unreadable(f"the time to load is {initialised[1]} ms at one place and {init_us} us at another")
    timing = _timing(warm, steady, init_ms)
    memory = _last(lines, _MEMORY)
    peak = _last(lines, _PEAK)
    size = _last(lines, _SIZE)
    accelerators = _last(lines, _ACCELERATORS)
    return RunLog(
        timing=timing.model_copy(
            update={
                "init_memory_bytes": _bytes(memory and memory[1]),
                "overall_memory_bytes": _bytes(memory and memory[2]),
                "peak_memory_bytes": _bytes(peak and peak[1]),
            }
        ),
        applied=_applied(lines),
        accelerators=tuple(name for name in accelerators[1].split(",") if name) if accelerators else (),
        model_bytes=positive(size[1], "the model's size") * 1e6 if size else None,
    )


def _last(lines: list[str], form: re.Pattern[str]) -> re.Match[str] | None:
    found = [match for line in lines if (match := form.fullmatch(line.rstrip()))]
    return found[-1] if found else None


def _only(lines: list[str], form: re.Pattern[str], what: str) -> re.Match[str]:
    found = [match for line in lines if (match := form.fullmatch(line.rstrip()))]
    if len(found) != 1:
        raise unreadable(f"{what} stands there {len(found)} times, not once; it is cut off or not one run's")
    return found[0]


def _bytes(mib: str | None) -> int | None:
    return None if mib is None else round(number(mib, "a memory footprint") * _MIB)


def _applied(lines: list[str]) -> tuple[Applied, ...]:
    found = []
    for line in lines:
        if match := _APPLIED.fullmatch(line.rstrip()):
            kernels = 1 if match[2] else whole(match[3], "the number of delegate kernels")
            found.append(Applied(name=match[1], extent="all" if match[2] else "part", kernels=kernels))
        elif match := _NOT_APPLIED.fullmatch(line.rstrip()):
            found.append(Applied(name=match[1], extent="none", kernels=0))
    return tuple(found)


def _two_series(lines: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The summaries of warm-up and steady runs: each the first ``count=`` line after its announcement."""
    found: list[dict[str, str]] = []
    waiting = False
    for line in lines:
        if line.startswith(_RUNNING):
            if waiting:
                raise unreadable("a series of runs has no summary")
            waiting = True
        elif waiting and line.startswith("count="):
            found.append(series(line.strip()))
            waiting = False
    if len(found) != 2 or waiting:
        raise unreadable(f"{len(found)} summaries of runs (count=…) stand there, not those of warm-up and benchmark")
    return found[0], found[1]


def series(line: str) -> dict[str, str]:
    """The fields of ``count=50 first=… curr=… min=… max=… avg=… std=…``; newer tools add p5, median and p95.

    Raises:
        BenchError: a field is damaged, missing, or contradicts another.
    """
    fields: dict[str, str] = {}
    for word in line.replace("(all same)", " same=1").split():
        name, equals, value = word.partition("=")
        if not equals or name in fields:
            raise unreadable(f"the summary {line[:120]!r} is damaged")
        fields[name] = value
    count = whole(fields.get("count", ""), "the number of runs")
    if count == 0:
        raise unreadable("no run was made")
    if count == 1 or "same" in fields:
        if "curr" not in fields or "avg" in fields:
            raise unreadable(f"the summary {line[:120]!r} is damaged")
        fields |= dict.fromkeys(("first", "min", "max", "avg"), fields["curr"]) | {"std": "0"}
    times = {name: positive(fields.get(name, ""), name) for name in ("first", "curr", "min", "max", "avg")}
    std = number(fields.get("std", ""), "std")
    low, high = times["min"], times["max"]
    slack = 1e-5 * high  # averages are printed with six digits
    inside = all(low - slack <= value <= high + slack for value in times.values())
    order = [number(fields[name], name) for name in ("p5", "median", "p95") if name in fields]
    if not inside or not 0 <= std <= high - low + slack or any(not low <= value <= high for value in order):
        raise unreadable(f"the summary {line[:160]!r} contradicts itself")
    if order != sorted(order):
        raise unreadable(f"the percentiles of {line[:160]!r} are out of order")
    return fields


def _same(fields: dict[str, str], name: str, other: str, what: str) -> None:
    if fields[name] != other.strip():
        raise unreadable(f"the {what} is {fields[name]} us at one place and {other.strip()[:40]} us at another")


def _timing(warm: dict[str, str], steady: dict[str, str], init_ms: float) -> PhoneTiming:
    def ms(name: str) -> float:
        return float(steady[name]) / 1e3

    def ms_if(name: str) -> float | None:
        return ms(name) if name in steady else None

    return PhoneTiming(
        runs=int(steady["count"]),
        warmup_runs=int(warm["count"]),
        init_ms=init_ms,
        first_ms=float(warm["first"]) / 1e3,
        warmup_avg_ms=float(warm["avg"]) / 1e3,
        avg_ms=ms("avg"),
        std_ms=ms("std"),
        min_ms=ms("min"),
        max_ms=ms("max"),
        p5_ms=ms_if("p5"),
        median_ms=ms_if("median"),
        p95_ms=ms_if("p95"),
    )
