"""``toolkit bench … --device SERIAL``: a phone's result as a run directory, whole or not at all."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.bench import machine
from toolkit.bench.phone.adb import Adb
from toolkit.bench.phone.command import PhonePlan
from toolkit.bench.phone.measure import measure_on_phone
from toolkit.bench.phone.target import Target, targets_of
from toolkit.pipeline.provenance import commit, lock_sha256
from toolkit.pipeline.run_directory import MANIFEST, RunDirectory, building, refuse_foreign_directory
from toolkit.report import write_report
from toolkit.results import Artifact, PhoneBench, PhoneLatency, Run, RunResult, Validity, Warn, save

_ONLY_TIME = "a benchmark on a phone says what stands under Latency, and no more"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneOutcome:
    """What ``toolkit bench --device`` shows.

    Attributes:
        result: everything, as in results.json.
        out: the run directory.
    """

    result: RunResult
    out: Path

    def as_json(self) -> dict[str, Any]:
        """The result."""
        return self.result.model_dump(mode="json", by_alias=True)

    def as_text(self) -> str:
        """A table with the phone's name, what the delegate took, and why a measurement is invalid."""
        phone = self.result.phone
        if phone is None:
            return "nothing was measured"
        lines = [f"{'part':<34}{'threads':>8}{'load ms':>10}{'mean ms':>10}{'95 % interval':>20}  delegate"]
        lines += [_row(latency) for latency in phone.latencies]
        for latency in phone.latencies:
            state = "VALID" if latency.valid else f"INVALID: {'; '.join(latency.reasons)}"
            lines.append(f"{latency.part}, {latency.threads} thread(s): {state}")
        lines += [f"note: {note}" for note in _notes(phone)]
        lines.append(f"where: {phone.latencies[0].where}")
        lines.append(f"run directory: {self.out} (index.html, results.json, raw/)")
        return "\n".join(lines)


def bench_phone(
    paths: list[Path],
    *,
    serial: str,
    tool: Path,
    plan: PhonePlan,
    out: Path,
    command: str,
    adb: Path | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> PhoneOutcome:
    """Measures files or a bundle on a phone and writes the run directory.

    Args:
        paths: .tflite files, or one bundle.
        serial: adb's name of the phone.
        tool: benchmark_model for it.
        plan: how to measure.
        out: run directory; replaced only when the run completes.
        command: the command line, for the report.
        adb: adb itself; found on PATH otherwise.
        on_progress: told of what is done.

    Raises:
        BenchError: from adb, the phone or benchmark_model; nothing is written then.
        InputError: a file is damaged, or ``out`` is something else.
    """
    refuse_foreign_directory(out.absolute())
    started = datetime.datetime.now(datetime.UTC)
    targets = targets_of(paths)
    phone = Adb(serial, adb)
    with building(out) as run:
        bench = measure_on_phone(
            phone,
            tool,
            targets,
            plan,
            keep=lambda name, content: _keep(run, name, content),
            on_progress=on_progress,
        )
        result = _result(paths, targets, bench, started, command)
        save(result, run.path / "results.json")
        write_report(result, run.path)
        run.write_json(
            MANIFEST,
            {
                "schema": 1,
                "inputs": {
                    **{target.path.name: {"sha256": target.sha256} for target in targets},
                    "benchmark_model": {"sha256": bench.tool_sha256},
                },
                "outputs": run.digests(("raw",)),
                "lock_sha256": lock_sha256(),
            },
        )
    return PhoneOutcome(result=result, out=out)


def _keep(run: RunDirectory, name: str, content: bytes) -> None:
    run.write_bytes(f"raw/{name}", content)


def _result(
    paths: list[Path], targets: tuple[Target, ...], bench: PhoneBench, started: datetime.datetime, command: str
) -> RunResult:
    head, dirty = commit()
    reasons = tuple(dict.fromkeys(reason for latency in bench.latencies for reason in latency.reasons))
    files = {target.path: target for target in targets}
    sections = ("delegation", "operators", "fidelity", "precision", "size", "memory", "tradeoff")
    return RunResult(
        run=Run(
            id=f"phone-{bench.delegate}-{started:%Y%m%dT%H%M%SZ}",
            model=_title(paths),
            started=started.isoformat(timespec="seconds"),
            command=command,
            commit=head,
            dirty=dirty,
            input_sha256={target.path.name: target.sha256 for target in files.values()},
            wall_seconds=(datetime.datetime.now(datetime.UTC) - started).total_seconds(),
        ),
        environment=machine.environment(bench.delegate).model_copy(
            update={"device": bench.device, "lock_sha256": lock_sha256()}
        ),
        artifacts=tuple(
            Artifact(stage="measured", path=path.name, sha256=target.sha256, size_bytes=path.stat().st_size)
            for path, target in files.items()
        ),
        phone=bench,
        validity=Validity(valid=not reasons, reasons=reasons),
        warnings=tuple(Warn(code="bench/phone-note", message=note, section="latency") for note in _notes(bench)),
        not_measured=dict.fromkeys(sections, _ONLY_TIME),
    )


def _notes(bench: PhoneBench) -> tuple[str, ...]:
    return (*bench.notes, *dict.fromkeys(note for latency in bench.latencies for note in latency.notes))


def _title(paths: list[Path]) -> str:
    first = paths[0].resolve()
    if first.is_dir():
        return first.parent.name if first.name == "bundle" else first.name
    return first.stem if len(paths) == 1 else f"{first.stem} and {len(paths) - 1} more"


def _row(latency: PhoneLatency) -> str:
    interval = f"{latency.ci_low_ms:.2f} to {latency.ci_high_ms:.2f}"
    load = sum(timing.init_ms for timing in latency.timings) / len(latency.timings)
    return f"{latency.part[-33:]:<34}{latency.threads:>8}{load:>10.1f}{latency.avg_ms:>10.2f}{interval:>20}  " + share(
        latency
    )


def share(latency: PhoneLatency) -> str:
    """What the delegate took, in words."""
    words = [f"{a.name}: {_EXTENT[a.extent]}, {a.kernels} kernel(s)" for a in latency.applied] or ["not said"]
    if latency.replaced_ops is not None and latency.total_ops:
        words.append(f"{latency.replaced_ops} of {latency.total_ops} operators")
    if latency.delegated_time_ratio is not None:
        words.append(f"{latency.delegated_time_ratio:.0%} of the time")
    return ", ".join(words)


_EXTENT = {"all": "the whole graph", "part": "a part of the graph", "none": "nothing"}
