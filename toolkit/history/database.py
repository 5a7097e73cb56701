"""The history of results: one SQLite file, any number of processes.

A result is known by the digest of its content: adding it again changes nothing. Every change is one transaction, so a
process killed inside it leaves the file as it was.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal

from toolkit.errors import HistoryError
from toolkit.history.quantities import quantities
from toolkit.history.schema import open_history
from toolkit.results import RunResult, to_json
from toolkit.results.history import Trend, TrendPoint
from toolkit.sqlite_file import Failure, failure, transaction

_MAX_RESULT_BYTES = 1 << 30
_FAILURES: dict[Failure, tuple[str, str]] = {
    "full": ("output/disk-full", "free some; the history is as it was before"),
    "locked": ("history/locked", "another process has been writing for half a minute; try again"),
    "damaged": ("history/damaged", "restore a copy of the file, or add the runs to a new one"),
    "unusable": ("history/unusable", "check the path, its permissions and the disk"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One result.

    Attributes:
        sha256: digest of its content.
        id: the run's own name.
        model: what was measured.
        started: when, ISO 8601; when it was added where the result does not say.
        added: when it was added.
        valid: whether its measurements may be quoted.
        passed: whether its gates held; None where it has none.
    """

    sha256: str
    id: str
    model: str
    started: str
    added: str
    valid: bool
    passed: bool | None


def digest(result: RunResult) -> str:
    """What a result is known by: sha256 of its canonical JSON."""
    return hashlib.sha256(to_json(result).encode()).hexdigest()


class History:
    """Results by digest. A context manager; one per thread.

    Raises:
        HistoryError: from every method, when the file is damaged, locked for half a minute, or the disk is full.
    """

    def __init__(self, path: Path, *, create: bool = False, now: Callable[[], datetime] | None = None) -> None:
        self.path = path
        self._now = now or (lambda: datetime.now(UTC))
        with self._translated():
            self._connection = open_history(path, create=create)

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, result: RunResult) -> Literal["added", "unchanged"]:
        """Adds a result; the same one again changes nothing, not even its time."""
        content = to_json(result).encode()
        sha256, added = hashlib.sha256(content).hexdigest(), self._now().isoformat(timespec="seconds")
        passed = int(result.passed) if result.gates else None
        row = (sha256, result.run.id, result.run.model, result.run.started or added, added, int(result.validity.valid))
        with self._transaction():
            if self._connection.execute("SELECT 1 FROM run WHERE sha256 = ?", (sha256,)).fetchone():
                return "unchanged"
            self._connection.execute(
                "INSERT INTO run (sha256, id, model, started, added, valid, passed, content) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, passed, zlib.compress(content, 6)),
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO quantity (run_sha256, metric, part, unit, place, value, low, high, "
                "higher_is_better, valid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(sha256, *astuple(each)) for each in quantities(result)],
            )
        return "added"

    def entries(self, model: str | None = None) -> tuple[Entry, ...]:
        """Every result, or those of a model, by model and time."""
        query = "SELECT sha256, id, model, started, added, valid, passed FROM run"
        chosen, values = (" WHERE model = ?", (model,)) if model is not None else ("", ())
        with self._translated():
            rows = self._connection.execute(f"{query}{chosen} ORDER BY model, started, sha256", values).fetchall()
        return tuple(
            Entry(
                sha256=sha256,
                id=name,
                model=of,
                started=started,
                added=added,
                valid=bool(valid),
                passed=None if passed is None else bool(passed),
            )
            for sha256, name, of, started, added, valid, passed in rows
        )

    def read(self, sha256: str) -> RunResult:
        """A whole result, checked against its digest.

        Raises:
            HistoryError: no such result, or it is damaged.
        """
        with self._translated():
            row = self._connection.execute("SELECT content FROM run WHERE sha256 = ?", (sha256,)).fetchone()
            if row is None:
                raise HistoryError(
                    f"no result {sha256[:12]}",
                    code="history/unknown",
                    where=str(self.path),
                    hint="toolkit history list",
                )
            content = zlib.decompressobj().decompress(row[0], _MAX_RESULT_BYTES)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise HistoryError(
                f"result {sha256[:12]} is not what was added: its digest differs",
                code="history/damaged",
                where=str(self.path),
                hint="restore a copy of the file, or add the runs to a new one",
            )
        return RunResult.model_validate_json(content)

    def trends(self, model: str) -> tuple[Trend, ...]:
        """Every quantity of a model over time, by part and metric.

        Raises:
            HistoryError: no result of that model.
        """
        with self._translated():
            rows = self._connection.execute(
                "SELECT q.part, q.metric, q.place, q.unit, q.higher_is_better, r.sha256, r.id, r.started, q.value, "
                "q.low, q.high, q.valid FROM quantity q JOIN run r ON r.sha256 = q.run_sha256 WHERE r.model = ? "
                "ORDER BY q.part, q.metric, q.place, r.started, r.sha256",
                (model,),
            ).fetchall()
            if not rows and not self.entries(model):
                known = ", ".join(dict.fromkeys(entry.model for entry in self.entries())) or "nothing"
                raise HistoryError(
                    f"no result of {model!r}", code="history/unknown", where=str(self.path), hint=f"it has: {known}"
                )
            found: dict[tuple[str, str, str, str], Trend] = {}
            for part, metric, place, unit, higher, *point in rows:
                key = (part, metric, place, unit)
                before = found.get(key)
                points = (*(before.points if before else ()), _point(point))
                found[key] = Trend(
                    metric=metric, part=part, unit=unit, where=place, higher_is_better=bool(higher), points=points
                )
        return tuple(found.values())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of the block or nothing."""
        with self._translated(), transaction(self._connection):
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise _operational(error, self.path) from error
        except (sqlite3.DatabaseError, zlib.error, ValueError, TypeError) as error:
            raise HistoryError(
                f"the history is damaged: {error}",
                code="history/damaged",
                where=str(self.path),
                hint="restore a copy of the file, or add the runs to a new one",
            ) from error


def _point(row: list[object]) -> TrendPoint:
    sha256, run_id, started, value, low, high, valid = row
    return TrendPoint.model_validate(
        {
            "run_sha256": sha256,
            "run_id": run_id,
            "started": started,
            "value": value,
            "low": low,
            "high": high,
            "valid": bool(valid),
        }
    )


def _operational(error: sqlite3.OperationalError, path: Path) -> HistoryError:
    code, hint = _FAILURES[failure(error)]
    return HistoryError(f"SQLite: {error}", code=code, where=str(path), hint=hint)
