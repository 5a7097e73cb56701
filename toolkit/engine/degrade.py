"""When the machine cannot keep up: delegate -> CPU -> lighter vocoder, and back up when it can again.

A pure state machine. It is told what each chunk took and what failed, and says on which rung the next chunk runs. It
never touches audio; the engine asks at chunk boundaries only, so a switch can neither lose nor repeat a sample.

    missed `patience` times in `window` chunks, or a failure, or memory short       -> one rung down
    `recovery` chunks in a row with headroom, memory not short                      -> one rung up, on probation
    down again during probation: the next climb needs twice as many chunks (up to `recovery_most`)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from toolkit.errors import EngineError

Cause = Literal["deadline", "failure", "memory", "headroom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One way of running.

    Attributes:
        name: for logs, e.g. ``gpu``, ``cpu``, ``cpu, light vocoder``.
        delegate: shared library; empty is the CPU.
        light: whether the lighter vocoder sings.
    """

    name: str
    delegate: str = ""
    light: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When to move.

    Attributes:
        deadline_factor: real-time factor a chunk must stay below.
        headroom_factor: real-time factor that counts as headroom; well below the deadline, or it would swing.
        window: chunks looked back on.
        misses: missed deadlines among them that move it down.
        recovery: chunks in a row with headroom that move it up.
        recovery_most: what doubling ends at.
    """

    deadline_factor: float = 1.0
    headroom_factor: float = 0.5
    window: int = 8
    misses: int = 3
    recovery: int = 16
    recovery_most: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.headroom_factor < self.deadline_factor:
            raise EngineError(
                f"headroom {self.headroom_factor} is not below the deadline {self.deadline_factor}",
                code="engine/bad-setting",
                where="degradation",
            )
        if not 1 <= self.misses <= self.window or not 1 <= self.recovery <= self.recovery_most:
            raise EngineError(
                f"{self.misses} misses in {self.window}, recovery {self.recovery} up to {self.recovery_most}",
                code="engine/bad-setting",
                where="degradation",
            )


NO_DEADLINE: Final = Patience(deadline_factor=1e9)
"""Nobody waits for this speech: nothing is late, and the engine stays on the rung it begins on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of rung, and why.

    Attributes:
        before: rung left.
        after: rung taken.
        cause: what kind of reason.
        reason: in words, with the numbers.
    """

    before: str
    after: str
    cause: Cause
    reason: str

    def __str__(self) -> str:
        return f"{self.before} -> {self.after}: {self.reason}"


class Ladder:
    """Where the engine stands, and every move it made.

    Args:
        rungs: best first; at least one.
        patience: when to move.

    Attributes:
        moves: every change of rung, oldest first.
        unmet: why it would have gone further down, had there been a rung; empty when it never would have. The owner of
            a speech empties it.
    """

    def __init__(self, rungs: tuple[Rung, ...], patience: Patience | None = None) -> None:
        if not rungs:
            raise EngineError("no way of running is left", code="engine/bad-setting", where="degradation")
        self.rungs = rungs
        self.patience = patience or Patience()
        self.moves: list[Move] = []
        self.unmet = ""
        self._at = 0
        self._recent: deque[bool] = deque(maxlen=self.patience.window)
        self._calm = 0
        self._needed = self.patience.recovery
        self._on_probation = False
        self._barred: set[int] = set()

    @property
    def rung(self) -> Rung:
        """The rung the next chunk runs on."""
        return self.rungs[self._at]

    def observe(self, *, elapsed_seconds: float, audio_seconds: float, memory_short: bool = False) -> Move | None:
        """Takes note of a finished chunk.

        Args:
            elapsed_seconds: what it took, its share of the sentence's earlier work included.
            audio_seconds: what it lasts.
            memory_short: whether memory is short although everything unused was dropped.

        Returns:
            The move made, if any.
        """
        if memory_short:
            self._calm = 0
            return self._down("memory", "memory is short")
        factor = elapsed_seconds / audio_seconds
        self._recent.append(factor > self.patience.deadline_factor)
        self._calm = self._calm + 1 if factor < self.patience.headroom_factor else 0
        if sum(self._recent) >= self.patience.misses:
            return self._down(
                "deadline",
                f"{sum(self._recent)} of the last {len(self._recent)} chunks were slower than "
                f"{self.patience.deadline_factor:g} x real time, the last one {factor:.2f}",
            )
        if self._on_probation and len(self._recent) == self.patience.window:
            self._on_probation, self._needed = False, self.patience.recovery
        if self._calm >= self._needed:
            return self._up(factor)
        return None

    def failed(self, reason: str, *, permanent: bool = False) -> Move | None:
        """Takes note of a graph or delegate that failed; the chunk it was for runs again on the new rung.

        Args:
            reason: its message.
            permanent: whether the rung is never to be climbed to again (its delegate cannot be loaded).

        Returns:
            The move made; None when there is no rung below, and the failure is final.
        """
        if permanent:
            self._barred.add(self._at)
        return self._down("failure", reason)

    def _down(self, cause: Cause, reason: str) -> Move | None:
        below = [index for index in range(self._at + 1, len(self.rungs)) if index not in self._barred]
        if not below:
            self._recent.clear()
            self.unmet = f"{self.rung.name}, and nothing lighter to fall to: {reason}"
            return None
        if self._on_probation:
            self._needed = min(2 * self._needed, self.patience.recovery_most)
        return self._go(below[0], cause, reason, probation=False)

    def _up(self, factor: float) -> Move | None:
        above = [index for index in range(self._at) if index not in self._barred]
        if not above:
            self._calm = 0
            return None
        reason = (
            f"{self._calm} chunks in a row below {self.patience.headroom_factor:g} x real time, the last {factor:.2f}"
        )
        return self._go(above[-1], "headroom", reason, probation=True)

    def _go(self, index: int, cause: Cause, reason: str, *, probation: bool) -> Move:
        move = Move(before=self.rung.name, after=self.rungs[index].name, cause=cause, reason=reason)
        self._at, self._calm, self._on_probation = index, 0, probation
        self._recent.clear()
        self.moves.append(move)
        return move
