"""Progress of a long protocol: what begins, what it says meanwhile, what it came to and how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


def duration(seconds: float) -> str:
    """``75.2`` as ``1 min 15 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def say(text: str) -> None:
    """One line of the protocol, seen at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass(slots=True, kw_only=True)
class Step:
    """A step under way.

    Attributes:
        name: what is done.
        result: what it came to; set it before the step ends.
        seconds: how long it took; known when it has ended.
    """

    name: str
    result: str = ""
    seconds: float = 0.0


class Progress:
    """Prints a protocol's lines, each with the time since the start.

    Args:
        write: receives each line.
        clock: seconds.
    """

    def __init__(self, write: Callable[[str], None] = say, clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock, self._start = write, clock, clock()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Says that a step begins and, unless it raises, what it came to and how long it took."""
        self._line("..", name)
        found, started = Step(name=name), self._clock()
        yield found
        found.seconds = self._clock() - started
        self._line("ok", f"{name}: {found.result} ({duration(found.seconds)})")

    def known(self, name: str, result: str) -> None:
        """Says that a step was finished by a run before this one."""
        self._line("ok", f"{name}: {result} (kept from an interrupted run)")

    def detail(self, text: str) -> None:
        """Something a step says while it runs."""
        self._line("  ", text[:150])

    def fault(self, kind: str, text: str) -> None:
        """Why the protocol ends."""
        self._line(kind, text)

    def _line(self, mark: str, text: str) -> None:
        minutes, seconds = divmod(int(self.seconds), 60)
        self._write(f"{minutes:3d}:{seconds:02d}  {mark}  {text}")
