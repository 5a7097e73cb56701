"""Latency of .tflite files on this computer: alone by thread count, and several files against each other."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from toolkit.bench.machine import where
from toolkit.bench.plan import Plan
from toolkit.bench.session import Inputs, Session
from toolkit.bench.stats import paired_ratio, summarise
from toolkit.errors import BenchError
from toolkit.results import Latency, LatencyComparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Several files measured in turns: each one's latency, and every candidate's ratio to the baseline."""

    latencies: tuple[Latency, ...]
    comparisons: tuple[LatencyComparison, ...]


class Timed(Protocol):
    """Something that runs over and over, ready to be timed."""

    init_ms: float
    first_ms: float

    def invoke_ms(self) -> float:
        """Runs once and returns the time it took."""


def measure(
    model: bytes | Path,
    part: str,
    variant: str,
    plan: Plan,
    *,
    inputs: Inputs | None = None,
    audio_seconds: float | None = None,
) -> tuple[Latency, ...]:
    """Measures one file alone, once per thread count.

    Args:
        model: the file, or its bytes.
        part: name of the part, e.g. ``decoder``.
        variant: ``float32`` or ``result``.
        plan: how often to run, and when to object.
        inputs: arrays in the file's layout; seeded noise when left out.
        audio_seconds: seconds of audio one invocation makes; gives the real-time factor.

    Raises:
        BenchError: the file cannot be loaded or the inputs do not fit.
    """
    return tuple(
        _alone(model, part, variant, threads, plan, inputs=inputs, audio_seconds=audio_seconds)
        for threads in plan.threads
    )


def race(
    models: Mapping[str, bytes | Path],
    part: str,
    plan: Plan,
    *,
    baseline: str,
    threads: int,
    inputs: Inputs | None = None,
    audio_seconds: float | None = None,
) -> Race:
    """Measures several files in turns, in one process.

    Every round runs each file once, starting with another one each time, so that whatever slows the computer down hits
    all of them alike; the ratio is taken round by round.

    Args:
        models: variant name to file.
        part: name of the part.
        plan: runs are rounds here.
        baseline: variant the others are divided by.
        threads: thread count of every file.
        inputs: arrays in the files' layout; seeded noise when left out.
        audio_seconds: seconds of audio one invocation makes.

    Raises:
        BenchError: fewer than two files, or the baseline is not among them.
    """
    _check_field(models, baseline)
    sessions = {variant: Session(model, threads, inputs) for variant, model in models.items()}
    return race_timed(sessions, part, plan, baseline=baseline, threads=threads, audio_seconds=audio_seconds)


def race_timed(
    sessions: Mapping[str, Timed],
    part: str,
    plan: Plan,
    *,
    baseline: str,
    threads: int,
    audio_seconds: float | None = None,
) -> Race:
    """As `race`, of whatever can be timed.

    Raises:
        BenchError: fewer than two, or the baseline is not among them.
    """
    _check_field(sessions, baseline)
    order = list(sessions)
    _warm_up(tuple(sessions.values()), plan)
    samples: dict[str, list[float]] = {variant: [] for variant in order}
    started = time.perf_counter()
    rounds = 0
    while not plan.enough(rounds, (time.perf_counter() - started) / len(order)):
        shift = rounds % len(order)
        for variant in order[shift:] + order[:shift]:
            samples[variant].append(sessions[variant].invoke_ms())
        rounds += 1
    identity = uuid.uuid4().hex
    latencies = tuple(
        _latency(sessions[v], samples[v], part, v, threads, plan, audio_seconds=audio_seconds, identity=identity)
        for v in order
    )
    comparisons = tuple(compare_paired(samples, part, baseline, v, threads) for v in order if v != baseline)
    return Race(latencies=latencies, comparisons=comparisons)


def _check_field(field: Mapping[str, object], baseline: str) -> None:
    if baseline not in field or len(field) < 2:
        raise BenchError(f"a race needs two files or more and its baseline {baseline!r} among {sorted(field)}")


def _warm_up(sessions: tuple[Timed, ...], plan: Plan) -> None:
    started, runs = time.perf_counter(), 0
    while not plan.warm(runs, time.perf_counter() - started):
        for session in sessions:
            session.invoke_ms()
        runs += 1


def _alone(
    model: bytes | Path,
    part: str,
    variant: str,
    threads: int,
    plan: Plan,
    *,
    inputs: Inputs | None,
    audio_seconds: float | None,
) -> Latency:
    session = Session(model, threads, inputs)
    return measure_timed(session, part, variant, plan, threads=threads, audio_seconds=audio_seconds)


def measure_timed(
    session: Timed, part: str, variant: str, plan: Plan, *, threads: int, audio_seconds: float | None = None
) -> Latency:
    """As `measure`, of whatever can be timed, with one thread count."""
    _warm_up((session,), plan)
    samples: list[float] = []
    started = time.perf_counter()
    while not plan.enough(len(samples), time.perf_counter() - started):
        samples.append(session.invoke_ms())
    return _latency(session, samples, part, variant, threads, plan, audio_seconds=audio_seconds)


def _latency(
    session: Timed,
    samples: list[float],
    part: str,
    variant: str,
    threads: int,
    plan: Plan,
    *,
    audio_seconds: float | None,
    identity: str | None = None,
) -> Latency:
    stats = summarise(samples)
    reasons = plan.objections(stats)
    return Latency(
        part=part,
        variant=variant,
        threads=threads,
        where=where(),
        init_ms=session.init_ms,
        first_ms=session.first_ms,
        samples_ms=tuple(round(s, 4) for s in samples),
        stats=stats,
        audio_seconds=audio_seconds,
        real_time_factor=stats.p50_ms / 1000.0 / audio_seconds if audio_seconds else None,
        valid=not reasons,
        reasons=reasons,
        race=identity,
    )


def compare_paired(
    samples: Mapping[str, Sequence[float]], part: str, baseline: str, candidate: str, threads: int
) -> LatencyComparison:
    """A candidate's ratio to the baseline, round by round.

    Args:
        samples: variant to its times, in the order of the rounds.
        part: name of the part.
        baseline: variant that is divided by.
        candidate: the other one.
        threads: thread count of both.
    """
    ratio, low, high = paired_ratio(samples[baseline], samples[candidate])
    return LatencyComparison(
        part=part,
        baseline=baseline,
        candidate=candidate,
        threads=threads,
        where=where(),
        ratio=ratio,
        ci_low=low,
        ci_high=high,
        pairs=len(samples[baseline]),
    )
