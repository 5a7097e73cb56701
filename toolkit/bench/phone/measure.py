"""One session with a phone: push, look at it, measure every part, look again, clean up."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.bench.phone import command
from toolkit.bench.phone.adb import Adb
from toolkit.bench.phone.command import PhonePlan
from toolkit.bench.phone.identity import check_tool, read_device, where
from toolkit.bench.phone.log_text import RunLog, failure_of, parse_log
from toolkit.bench.phone.op_table import Profile, parse_profile
from toolkit.bench.phone.proto_files import RuntimeGraph, parse_profile_file, parse_runtime_graph, with_result_file
from toolkit.bench.phone.state import objections, read_state, remarks
from toolkit.bench.phone.summary import latency_of
from toolkit.bench.phone.target import Target
from toolkit.bench.phone.workspace import Workspace
from toolkit.errors import BenchError
from toolkit.results import PhoneBench, PhoneLatency, PhoneTiming

Keep = Callable[[str, bytes], None]
"""Keeps a raw output under a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRuns:
    """All that was read about one part with one thread count.

    Attributes:
        target: which graph.
        threads: thread count.
        timings: one for each process without profiling.
        log: what the profiled process said.
        profile: its operators; None where the tool gave none, and ``notes`` say so.
        graph: the graph that really ran; None where the tool does not export it.
        notes: what is missing.
    """

    target: Target
    threads: int
    timings: tuple[PhoneTiming, ...]
    log: RunLog
    profile: Profile | None
    graph: RuntimeGraph | None
    notes: tuple[str, ...]


def measure_on_phone(
    adb: Adb,
    tool: Path,
    targets: tuple[Target, ...],
    plan: PhonePlan,
    *,
    keep: Keep = lambda name, content: None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, note: None,
    workspace: Callable[[Adb], Workspace] = Workspace,
) -> PhoneBench:
    """Measures graphs on a phone and leaves nothing there.

    Args:
        adb: the phone.
        tool: benchmark_model for it.
        targets: which graphs.
        plan: how.
        keep: is given every raw output.
        on_progress: told of processes done and to do.
        workspace: makes the directory on the phone.

    Raises:
        BenchError: no phone, no tool, a failed run, unreadable output, a timeout, or a phone that is gone; when
            something may be left on the phone, the error says what.
    """
    adb.check()
    device = read_device(adb)
    check_tool(tool, device.abi or "")
    label = where(device)
    total = len(targets) * len(plan.threads) * (plan.repeats + 1)
    done = 0

    def one_more(note: str) -> None:
        nonlocal done
        done += 1
        on_progress(done, total, note)

    with workspace(adb) as space, tempfile.TemporaryDirectory(prefix="toolkit-phone-") as scratch:
        session = _Session(space, plan, keep, Path(scratch), one_more)
        others = space.others()
        session.prepare(tool)
        before = read_state(adb)
        runs = [found for target in targets for found in session.measure(target)]
        after = read_state(adb)
    spoilt = objections(before, after)
    latencies: tuple[PhoneLatency, ...] = tuple(latency_of(each, plan, label, spoilt) for each in runs)
    notes = [command.NOTES[plan.delegate]] if plan.delegate in command.NOTES else []
    notes += [
        f"{name} is on the phone: another benchmark runs there, or one was cut off and left it" for name in others
    ]
    return PhoneBench(
        device=device,
        delegate=plan.delegate,
        tool_sha256=hashlib.sha256(tool.read_bytes()).hexdigest(),
        before=before,
        after=after,
        latencies=latencies,
        notes=(*notes, *remarks(before, after)),
    )


class _Session:
    """What one session needs at every step."""

    def __init__(
        self, space: Workspace, plan: PhonePlan, keep: Keep, scratch: Path, one_more: Callable[[str], None]
    ) -> None:
        self._space = space
        self._plan = plan
        self._keep = keep
        self._scratch = scratch
        self._one_more = one_more

    def prepare(self, tool: Path) -> None:
        """Pushes what every part needs."""
        self._space.push(tool, "benchmark_model", executable=True)
        for library in self._plan.qnn_libraries:
            self._space.push(library, library.name)

    def measure(self, target: Target) -> list[PartRuns]:
        """Measures one graph with every thread count."""
        model = self._space.push(target.path, "model.tflite")
        for number, each in enumerate(target.zeros):
            zeros = self._scratch / command.zeros_name(number)
            zeros.write_bytes(np.zeros(each.size_bytes, np.uint8).tobytes())
            self._space.push(zeros, zeros.name)
        return [self._part(target, model, threads) for threads in self._plan.threads]

    def _part(self, target: Target, model: str, threads: int) -> PartRuns:
        timings = []
        for repeat in range(self._plan.repeats):
            log, _ = self._run(target, model, threads, f"{repeat + 1}")
            timings.append(self._with_result(log.timing, target, threads, f"{repeat + 1}"))
        log, text = self._run(target, model, threads, "profile", profiled=True)
        self._check_model(log, target)
        notes: list[str] = []
        profile = self._profile(text, target, threads, notes)
        content = self._pull(command.GRAPH, target, threads, "profile")
        if content is None:
            notes.append("this benchmark_model exports no runtime graph: how many operators were replaced is not known")
        return PartRuns(
            target=target,
            threads=threads,
            timings=tuple(timings),
            log=log,
            profile=profile,
            graph=parse_runtime_graph(content) if content is not None else None,
            notes=tuple(notes),
        )

    def _run(
        self, target: Target, model: str, threads: int, name: str, *, profiled: bool = False
    ) -> tuple[RunLog, str]:
        words = command.arguments(self._plan, target, model, self._space.path, threads, profiled=profiled)
        step = f"running {target.part} on the phone ({threads} threads)"
        answer = self._space.run(
            words, step, self._plan.timeout_seconds, command.environment(self._plan, self._space.path)
        )
        self._keep(self._name(target, threads, name, "txt"), answer.text.encode())
        if answer.code != 0:
            raise _failed(answer.code, answer.text, target)
        log = parse_log(answer.text)
        self._one_more(f"{target.part}, {threads} thread(s)")
        return log, answer.text

    def _with_result(self, timing: PhoneTiming, target: Target, threads: int, name: str) -> PhoneTiming:
        content = self._pull(command.RESULT, target, threads, name)
        return timing if content is None else with_result_file(timing, content)

    def _profile(self, text: str, target: Target, threads: int, notes: list[str]) -> Profile | None:
        if self._plan.profile == "stdout":
            return parse_profile(text)
        content = self._pull(command.PROFILE, target, threads, "profile")
        if content is None:
            notes.append(f"this benchmark_model wrote no profile in the form {self._plan.profile}")
            return None
        return parse_profile_file(content) if self._plan.profile == "proto" else parse_profile(_decoded(content))

    def _pull(self, remote: str, target: Target, threads: int, name: str) -> bytes | None:
        content = self._space.pull(remote, self._scratch / remote)
        if content is not None:
            self._space.remove(remote)  # a later run that writes none must not be credited with this one
            stem, _, ending = remote.rpartition(".")
            self._keep(self._name(target, threads, f"{name}-{stem}", ending), content)
        return content

    def _check_model(self, log: RunLog, target: Target) -> None:
        size = target.path.stat().st_size
        if log.model_bytes is not None and not math.isclose(log.model_bytes, size, rel_tol=1e-5, abs_tol=1.0):
            raise BenchError(
                f"the phone measured a file of {log.model_bytes:.0f} bytes, {target.path.name} has {size}",
                code="bench/phone-output",
                where=target.part,
            )

    @staticmethod
    def _name(target: Target, threads: int, name: str, ending: str) -> str:
        return f"{target.part.replace('/', '-')}-{threads}-threads-{name}.{ending}"


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _failed(code: int, text: str, target: Target) -> BenchError:
    why = failure_of(text)
    if "Disallowed CPU fallback detected." in text:
        return BenchError(
            f"{target.part} does not run on the delegate alone: {why}",
            code="bench/phone-fallback",
            where=str(target.path),
            hint="leave --full-delegation out to measure it with the CPU's share, or: toolkit inspect --delegate",
        )
    return BenchError(
        f"benchmark_model failed with exit code {code}: {why}",
        code="bench/phone-failed",
        where=f"{target.part} ({target.path.name})",
        hint="exit codes above 128 are signals: 137 is out of memory, 139 a crash of the tool or the driver",
    )
