"""What the pipeline tells while it runs; only the command line turns it into text."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


class Listener(Protocol):
    """Receives the pipeline's events."""

    def stage_started(self, stage: str) -> None:
        """A stage begins."""

    def progress(self, stage: str, done: int, total: int, note: str) -> None:
        """``done`` of ``total`` steps of a stage are finished; ``total`` is 0 when it is not known."""

    def stage_finished(self, stage: str, seconds: float, fact: str) -> None:
        """A stage ended; ``fact`` is its one key number."""

    def warning(self, message: str) -> None:
        """Something the user should know that does not stop the run."""


class Silent:
    """A listener that says nothing, for library use and tests."""

    def stage_started(self, stage: str) -> None:
        """Ignores the event."""

    def progress(self, stage: str, done: int, total: int, note: str) -> None:
        """Ignores the event."""

    def stage_finished(self, stage: str, seconds: float, fact: str) -> None:
        """Ignores the event."""

    def warning(self, message: str) -> None:
        """Ignores the event."""


@dataclass(slots=True, kw_only=True)
class StageRecord:
    """One finished stage.

    Attributes:
        name: stage name, e.g. ``decoder: torch to ONNX``.
        seconds: wall time.
        fact: the key number shown beside it.
    """

    name: str
    seconds: float = 0.0
    fact: str = ""


class StageClock:
    """Times stages and keeps their records for the results file."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.records: list[StageRecord] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[StageRecord]:
        """Times the body; set ``fact`` on the yielded record before leaving."""
        self.listener.stage_started(name)
        record = StageRecord(name=name)
        started = time.monotonic()
        yield record
        record.seconds = time.monotonic() - started
        self.records.append(record)
        self.listener.stage_finished(name, record.seconds, record.fact)
