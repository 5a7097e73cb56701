"""Latency and memory of a run's parts on the host CPU, float32 and result in turns."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.spec import Arrays, Interface
from converters.tflite_graph.read import read_tflite
from toolkit.bench.guard import guarded, seconds_for
from toolkit.bench.host import measure, race
from toolkit.bench.machine import environment
from toolkit.bench.memory import peak_memory
from toolkit.bench.operators import time_operators
from toolkit.bench.plan import Plan
from toolkit.bench.session import Session
from toolkit.delegates.partition import tensor_bytes
from toolkit.engine.memory import available_bytes
from toolkit.errors import BenchError
from toolkit.pipeline.run_directory import MANIFEST, building, file_sha256, refuse_foreign_directory
from toolkit.recipe.schema import Bench
from toolkit.results import Latency, LatencyComparison, Memory, OpRun, OpTime, Run, RunResult, Validity, save


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPart:
    """What is measured of one part.

    Attributes:
        key: part key.
        files: variant (``float32``, ``result``) to file.
        inputs: real inputs in torch layout.
        interface: layouts of the files.
        audio_seconds: seconds of audio one invocation stands for; None when it makes none.
        timed_by_operator: also time every distinct operator alone.
    """

    key: str
    files: Mapping[str, Path]
    inputs: Arrays
    interface: Interface
    audio_seconds: float | None
    timed_by_operator: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything the benchmark found."""

    latency: tuple[Latency, ...]
    comparisons: tuple[LatencyComparison, ...]
    memory: tuple[Memory, ...]
    op_times: tuple[OpTime, ...]
    op_runs: tuple[OpRun, ...] = ()


def plan_of(settings: Bench) -> Plan:
    """The measuring plan of a recipe."""
    return Plan(
        warmup_runs=settings.warmup,
        min_runs=settings.runs,
        max_runs=max(settings.runs, 3 * settings.runs),
        min_seconds=settings.min_seconds,
        threads=settings.threads,
    )


def bench_parts(parts: list[BenchPart], settings: Bench, on_progress: Callable[[int, int, str], None]) -> Measured:
    """Measures every part, both variants interleaved, at every thread count; then memory in fresh processes."""
    plan = plan_of(settings)
    latency: list[Latency] = []
    comparisons: list[LatencyComparison] = []
    memory: list[Memory] = []
    op_times: list[OpTime] = []
    op_runs: list[OpRun] = []
    total = len(parts) * (len(settings.threads) + 1)
    done = 0
    for part in parts:
        inputs = _file_inputs(part)
        for threads in settings.threads:
            found = race(
                dict(part.files),
                part.key,
                plan,
                baseline="float32",
                threads=threads,
                inputs=inputs,
                audio_seconds=part.audio_seconds,
            )
            latency += found.latencies
            comparisons += found.comparisons
            done += 1
            on_progress(done, total, f"{part.key}, {threads} thread(s)")
        for variant, path in part.files.items():
            memory.append(peak_memory(path, part.key, variant, threads=max(settings.threads)))
            if part.timed_by_operator:
                breakdown = time_operators(path, part.key, variant, threads=max(settings.threads))
                op_times += breakdown.times
                op_runs += breakdown.runs
        done += 1
        on_progress(done, total, f"{part.key}, memory")
    return Measured(
        latency=tuple(latency),
        comparisons=tuple(comparisons),
        memory=tuple(memory),
        op_times=tuple(op_times),
        op_runs=tuple(op_runs),
    )


def _file_inputs(part: BenchPart) -> dict[str, np.ndarray]:
    layouts = part.interface.layouts
    return {t.name: layouts[t.name].to_target(np.asarray(part.inputs[t.name])) for t in part.interface.spec.inputs}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBench:
    """What ``toolkit bench`` shows of files, and of a token step.

    Attributes:
        latency: one entry a thread count and file, or bundle.
        comparisons: of all but the first with the first.
        memory: of files.
        measured: heading over their names.
    """

    latency: tuple[Latency, ...]
    comparisons: tuple[LatencyComparison, ...]
    memory: tuple[Memory, ...]
    measured: str = "file"

    def as_json(self) -> dict[str, Any]:
        """All numbers, samples included."""
        return {
            "latency": [entry.model_dump(mode="json") for entry in self.latency],
            "comparisons": [entry.model_dump(mode="json") for entry in self.comparisons],
            "memory": [entry.model_dump(mode="json") for entry in self.memory],
        }

    def as_text(self) -> str:
        """A table, then the ratios."""
        lines = [f"{self.measured:<34}{'threads':>8}{'init ms':>10}{'first ms':>10}{'p50 ms':>10}{'p95 ms':>10}  valid"]
        for e in self.latency:
            valid = "VALID" if e.valid else f"INVALID: {'; '.join(e.reasons)}"
            lines.append(
                f"{e.variant[-33:]:<34}{e.threads:>8}{e.init_ms:>10.1f}{e.first_ms:>10.1f}"
                f"{e.stats.p50_ms:>10.2f}{e.stats.p95_ms:>10.2f}  {valid}"
            )
        for c in self.comparisons:
            lines.append(
                f"{c.candidate} over {c.baseline}, {c.threads} thread(s): {c.ratio:.3f} "
                f"(95 % interval {c.ci_low:.3f} to {c.ci_high:.3f}, {c.pairs} rounds)"
            )
        for m in self.memory:
            lines.append(
                f"{m.variant}: peak {m.peak_rss_bytes / 1e6:.0f} MB, {m.over_runtime_bytes / 1e6:.0f} MB for the model"
            )
        lines.append(f"where: {self.latency[0].where}")
        return "\n".join(lines)


def bench_files(
    models: list[Path],
    threads: tuple[int, ...],
    runs: int,
    warmup: int,
    patience_seconds: float | None = None,
    *,
    out: Path | None = None,
    command: str = "toolkit bench",
) -> FileBench:
    """Measures files on seeded noise; several are run in turns and compared with the first.

    Each file is checked before it is run, and run in a child process: a damaged one is an error, never a crash.

    Args:
        models: the files.
        threads: thread counts.
        runs: measured runs of each file and thread count.
        warmup: runs before measuring.
        patience_seconds: how long loading and running all files once may take; by their size when left out.
        out: where to write a result for each file; samples of one race pair in `toolkit compare`.
        command: the command line, for those results.

    Raises:
        BenchError: a file cannot be loaded or run.
        InputError: a file is missing, damaged or foreign; ``out`` is something else, or cannot be written.
    """
    if out is not None:
        refuse_foreign_directory(out.absolute())
    plan = Plan(warmup_runs=warmup, min_runs=runs, max_runs=3 * runs, threads=threads)
    for path in models:
        _check_runnable(path)
    limit = patience_seconds or sum(seconds_for(path.stat().st_size) for path in models)
    found = guarded(
        lambda ready: _bench_files(models, plan, ready), seconds=limit, where=", ".join(str(path) for path in models)
    )
    if out is not None:
        _write_each(found, {str(path): path for path in models}, out, command)
    return found


def _check_runnable(path: Path) -> None:
    """Raises for a file that is damaged or cannot fit into memory, without running it."""
    graph = read_tflite(path)
    largest = max((tensor_bytes(graph, tensor.index) for tensor in graph.tensors), default=0)
    free = available_bytes()
    if largest > free:
        raise BenchError(
            f"one tensor alone holds {largest / 1e9:.1f} GB; {free / 1e9:.1f} GB are free",
            code="bench/too-large",
            where=str(path),
            hint="is the file damaged? toolkit inspect shows what is in it",
        )


def _bench_files(models: list[Path], plan: Plan, ready: Callable[[], None]) -> FileBench:
    for path in models:
        Session(path, max(plan.threads))
    ready()
    return _measured(models, plan)


def _measured(models: list[Path], plan: Plan) -> FileBench:
    threads = plan.threads
    named = {str(path): path for path in models}
    latency: list[Latency] = []
    comparisons: list[LatencyComparison] = []
    if len(named) == 1:
        ((name, path),) = named.items()
        latency += measure(path, path.stem, name, plan)
    else:
        baseline = str(models[0])
        for count in threads:
            found = race(named, models[0].stem, plan, baseline=baseline, threads=count)
            latency += found.latencies
            comparisons += found.comparisons
    memory = tuple(peak_memory(path, path.stem, name, threads=max(threads)) for name, path in named.items())
    return FileBench(latency=tuple(latency), comparisons=tuple(comparisons), memory=memory)


def _write_each(found: FileBench, named: Mapping[str, Path], out: Path, command: str) -> None:
    """One result a file, in a folder of its own: ``1-decoder/results.json``."""
    digests = {name: file_sha256(path) for name, path in named.items()}
    with building(out) as run:
        for number, (name, path) in enumerate(named.items(), 1):
            latency = tuple(e.model_copy(update={"variant": "result"}) for e in found.latency if e.variant == name)
            memory = tuple(m.model_copy(update={"variant": "result"}) for m in found.memory if m.variant == name)
            reasons = tuple(dict.fromkeys(reason for entry in latency for reason in entry.reasons))
            result = RunResult(
                run=Run(
                    id=f"bench-{digests[name][:12]}",
                    model=path.stem,
                    command=command,
                    started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                    input_sha256={path.name: digests[name]},
                ),
                environment=environment(),
                latency=latency,
                memory=memory,
                validity=Validity(valid=not reasons, reasons=reasons),
            )
            save(result, run.path / f"{number}-{path.stem}" / "results.json")
        run.write_json(MANIFEST, {"schema": 1, "inputs": digests})
