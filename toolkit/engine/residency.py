"""What is loaded stays within a bound that is measured: the least recently used goes first.

Values may belong to a group whose members are all needed in turn, as the graphs of a bundle are for each sentence. When
only such a group is left, the oldest member is the very one needed next, and often the largest; then the smallest
member that makes enough room goes.

The measure is the growth of the process's resident memory since the engine started, because that is what a phone kills
for; a file's length says little about what an interpreter makes of it.
"""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from toolkit.engine.memory import resident_bytes, return_freed
from toolkit.errors import EngineError

UNBOUNDED_BYTES: Final = 1 << 40
"""A bound that is never met: what is loaded stays."""
_NOTHING = object()


@dataclass(slots=True)
class _Resident:
    value: Any
    before_bytes: int
    group: Hashable = None
    users: int = 0
    first_use: bool = True


class Residency:
    """Values by key, loaded on demand and dropped, oldest use first, when they need more than the bound.

    Args:
        bound_bytes: most the process may grow over what it was when this was made.
        measure: resident bytes of the process.
        release: gives freed memory back.
    """

    def __init__(
        self,
        bound_bytes: int,
        *,
        measure: Callable[[], int] = resident_bytes,
        release: Callable[[], None] = return_freed,
    ) -> None:
        if bound_bytes <= 0:
            raise EngineError(
                f"a memory bound of {bound_bytes} bytes",
                code="engine/bad-setting",
                where="memory bound",
                hint="above 0",
            )
        self.bound_bytes = bound_bytes
        self._measure = measure
        self._release = release
        self._start_bytes = measure()
        self._held: OrderedDict[Hashable, _Resident] = OrderedDict()
        self._known_bytes: dict[Hashable, int] = {}
        self._loads: dict[Hashable, int] = {}
        self._group: Hashable = None  # of what was asked for last
        self._lock = threading.RLock()
        self.evictions = 0
        self.peak_bytes = 0

    @property
    def grown_bytes(self) -> int:
        """What the process holds over its start, now."""
        return self._measure() - self._start_bytes

    def keys(self) -> tuple[Hashable, ...]:
        """What is loaded, the least recently used first."""
        return tuple(self._held)

    @contextmanager
    def using(
        self, key: Hashable, load: Callable[[], Any], expected_bytes: int = 0, group: Hashable = None
    ) -> Iterator[Any]:
        """The value of a key, which is not dropped while the block runs.

        Args:
            key: what it is found by.
            load: makes it when it is not there.
            expected_bytes: what it will take; room for that, or for what it took before, is made before loading.
            group: what it is needed in turn with.

        Raises:
            EngineError: all else is gone and it still does not fit.
        """
        with self._lock:
            self._group = group
            held = self._held.get(key)
            if held is None:
                held = self._load(key, load, expected_bytes, group)
            self._held.move_to_end(key)
            held.users += 1
        try:
            yield held.value
        finally:
            with self._lock:
                held.users -= 1
                self._note_peak()
                # Interpreters take most of their memory at the first run, not when they are made.
                grown = self._measure() - held.before_bytes
                self._known_bytes[key] = max(self._known_bytes.get(key, 0), grown if held.first_use else 0)
                held.first_use = False
                self.shrink_to(self.bound_bytes)

    def shrink_to(self, limit_bytes: int) -> bool:
        """Drops what is not in use until the process has grown by ``limit_bytes`` at most.

        Returns:
            Whether that was reached.
        """
        with self._lock:
            if self.grown_bytes > limit_bytes:
                self._release()  # what was freed and is still held by the C library is dropped before anything else
            while self.grown_bytes > limit_bytes:
                if not self._drop_one(self.grown_bytes - limit_bytes):
                    return False
            return True

    def make_room(self, wanted_bytes: int) -> None:
        """Drops what is not in use until so much fits, as far as that goes: for what is needed for a moment only."""
        self.shrink_to(max(0, self.bound_bytes - wanted_bytes))

    def drop(self, key: Hashable) -> None:
        """Forgets a key, e.g. because its delegate failed; one in use lives until its user is done."""
        with self._lock:
            if self._held.pop(key, None) is not None:
                gc.collect()
                self._release()

    def _load(self, key: Hashable, load: Callable[[], Any], expected_bytes: int, group: Hashable) -> _Resident:
        self.shrink_to(max(0, self.bound_bytes - self._needed(key, expected_bytes)))
        before = self._measure()
        value = load()
        self._loads[key] = self._loads.get(key, 0) + 1
        # It has a user, so that it is not dropped while new.
        held = _Resident(value=value, before_bytes=before, group=group, users=1)
        self._held[key] = held
        self._note_peak()
        fits = self.shrink_to(self.bound_bytes)
        held.users = 0
        if not fits:
            grown, cost = self.grown_bytes, self._measure() - before
            held.value = value = None  # the error's own frames must not keep it alive
            self.drop(key)
            raise EngineError(
                f"{key} needs {cost:,} bytes; with all else unused gone the process has grown by {grown:,}",
                code="engine/memory-bound",
                where=f"memory bound of {self.bound_bytes:,} bytes",
                hint="raise --memory-mb, or convert with smaller buckets",
            )
        return held

    def _needed(self, key: Hashable, expected_bytes: int) -> int:
        """What loading a key takes: as expected until it was seen twice.

        The first time, memory the process had anyway may serve it (a full-size transformer grew by 232 MiB, and by 260
        in every later sentence).
        """
        seen = self._known_bytes.get(key, expected_bytes)
        return seen if self._loads.get(key, 0) > 1 else max(seen, expected_bytes)

    def _drop_one(self, wanted_bytes: int) -> bool:
        key = self._victim(wanted_bytes)
        if key is _NOTHING:
            return False
        del self._held[key]
        self.evictions += 1
        gc.collect()
        self._release()
        return True

    def _victim(self, wanted_bytes: int) -> Hashable:
        unused = [key for key, held in self._held.items() if not held.users]
        if not unused:
            return _NOTHING
        stale = [key for key in unused if self._group is None or self._held[key].group != self._group]
        if stale:
            return stale[0]
        enough = [key for key in unused if self._known_bytes.get(key, 0) >= wanted_bytes]
        return min(enough, key=lambda key: self._known_bytes[key], default=unused[0])

    def _note_peak(self) -> None:
        self.peak_bytes = max(self.peak_bytes, self.grown_bytes)
