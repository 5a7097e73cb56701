"""The voice database: one SQLite file, many users, any number of processes.

Every change is one transaction; a process killed inside it leaves the file as it was. What is read back is checked
against the digest it was written with, so a damaged page is an error and never a strange voice.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

import toolkit
from toolkit.errors import VoiceError
from toolkit.sqlite_file import Failure, failure, transaction
from toolkit.voices.features import RULES, VoiceFeatures, checked_features
from toolkit.voices.identifier import checked_id
from toolkit.voices.schema import open_database

_FAILURES: dict[Failure, tuple[str, str]] = {
    "full": ("output/disk-full", "free some; the database is as it was before"),
    "locked": ("voices/locked", "another process has been writing for half a minute; try again"),
    "damaged": ("voices/damaged", "restore a copy of it, or enrol the voices into a new one"),
    "unusable": ("voices/unusable", "check the path, its permissions and the disk"),
}
_SUMMARY = "id, language, model_sha256, features_sha256, consent, provenance, enrolled_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSummary:
    """A voice without its arrays.

    Attributes:
        user_id: who.
        language: language of the reference's text.
        model_sha256: checkpoint the features were made with; empty when unknown.
        features_sha256: digest of the features.
        consent: who allowed it, where that is written down.
        provenance: ``sources`` (file name to sha256) and ``tool`` (version), and what an importer added.
        enrolled_at: UTC time of the enrolment, ISO 8601.
    """

    user_id: str
    language: str
    model_sha256: str
    features_sha256: str
    consent: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    enrolled_at: str = ""


class VoiceDatabase:
    """Voices by user id. A context manager; one per thread.

    Raises:
        VoiceError: from every method, when the file is damaged, locked for half a minute, or the disk is full.
    """

    def __init__(self, path: Path, *, create: bool = False, now: Callable[[], datetime] | None = None) -> None:
        self.path = path
        self._now = now or (lambda: datetime.now(UTC))
        with self._translated():
            self._connection = open_database(path, create=create)

    def __enter__(self) -> VoiceDatabase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; an open transaction is undone."""
        self._connection.close()

    def add(
        self,
        user_id: str,
        features: VoiceFeatures,
        *,
        consent: str,
        sources: Mapping[str, str],
        absent: Mapping[str, str] | None = None,
        replace: bool = False,
    ) -> Literal["added", "unchanged", "replaced"]:
        """Enrols a voice. The same voice again changes nothing, not even its time.

        Args:
            user_id: who.
            features: what enrolment made.
            consent: who allowed it; must say something.
            sources: name of each file the features come from to its sha256.
            absent: array that could not be made to the reason, so that nobody takes it for forgotten.
            replace: overwrite another voice of that id.

        Raises:
            VoiceError: bad id, no consent note, or another voice has that id.
        """
        checked_id(user_id)
        if not consent.strip():
            raise VoiceError(
                "no consent note", code="voices/no-consent", where=user_id, hint="say who allowed it: --consent TEXT"
            )
        provenance = json.dumps(
            {
                "sources": dict(sorted(sources.items())),
                "tool": f"toolkit {toolkit.__version__}",
                **({"absent": dict(sorted(absent.items()))} if absent else {}),
            },
            ensure_ascii=False,
        )
        with self._transaction():
            row = self._row(user_id)
            if row is not None:
                if row.features_sha256 == features.sha256 and row.consent == consent:
                    return "unchanged"
                if not replace:
                    raise VoiceError(
                        "another voice has that id",
                        code="voices/exists",
                        where=user_id,
                        hint="--replace overwrites it; toolkit voices show tells what it is",
                    )
                self._connection.execute("DELETE FROM voice WHERE id = ?", (user_id,))
            self._insert(user_id, features, consent, provenance)
        return "replaced" if row is not None else "added"

    def list(self) -> tuple[VoiceSummary, ...]:
        """Every voice, by id."""
        with self._translated():
            rows = self._connection.execute(f"SELECT {_SUMMARY} FROM voice ORDER BY id").fetchall()
            return tuple(_summary(row) for row in rows)

    def show(self, user_id: str) -> VoiceSummary:
        """One voice without its arrays.

        Raises:
            VoiceError: no such voice.
        """
        checked_id(user_id)
        with self._translated():
            row = self._row(user_id)
        if row is None:
            raise self._unknown(user_id)
        return row

    def read(self, user_id: str) -> VoiceFeatures:
        """The features of a voice, checked against their digest.

        Raises:
            VoiceError: no such voice, or it is damaged.
        """
        checked_id(user_id)
        with self._transaction(write=False):
            row = self._row(user_id)
            if row is None:
                raise self._unknown(user_id)
            stored = self._connection.execute(
                "SELECT name, shape, content FROM voice_array WHERE voice_id = ?", (user_id,)
            ).fetchall()
            arrays = {name: _array(name, shape, content) for name, shape, content in stored}
        features = checked_features(arrays, row.language, row.model_sha256, where=f"{self.path}: {user_id}")
        if features.sha256 != row.features_sha256:
            raise VoiceError(
                f"voice {user_id!r} is not what was enrolled: its digest differs",
                code="voices/damaged",
                where=str(self.path),
                hint="remove it and enrol it again",
            )
        return features

    def remove(self, user_id: str) -> None:
        """Removes a voice and overwrites where it stood, in the log too.

        Raises:
            VoiceError: no such voice.
        """
        checked_id(user_id)
        with self._transaction():
            if not self._connection.execute("DELETE FROM voice WHERE id = ?", (user_id,)).rowcount:
                raise self._unknown(user_id)
        with self._translated():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _insert(self, user_id: str, features: VoiceFeatures, consent: str, provenance: str) -> None:
        time = self._now().isoformat(timespec="seconds")
        values = (user_id, features.language, features.model_sha256, features.sha256, consent, provenance, time)
        self._connection.execute(f"INSERT INTO voice ({_SUMMARY}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        self._connection.executemany(
            "INSERT INTO voice_array (voice_id, name, shape, content) VALUES (?, ?, ?, ?)",
            [(user_id, name, json.dumps(array.shape), array.tobytes()) for name, array in features.arrays.items()],
        )

    def _row(self, user_id: str) -> VoiceSummary | None:
        row = self._connection.execute(f"SELECT {_SUMMARY} FROM voice WHERE id = ?", (user_id,)).fetchone()
        return None if row is None else _summary(row)

    def _unknown(self, user_id: str) -> VoiceError:
        return VoiceError(
            f"no voice {user_id!r}", code="voices/unknown", where=str(self.path), hint="toolkit voices list"
        )

    @contextmanager
    def _transaction(self, *, write: bool = True) -> Iterator[None]:
        """All of the block or nothing; a reader sees one state throughout."""
        with self._translated(), transaction(self._connection, write=write):
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise _operational(error, self.path) from error
        except (sqlite3.DatabaseError, ValueError, TypeError, UnicodeDecodeError) as error:
            raise VoiceError(
                f"the voice database is damaged: {error}",
                code="voices/damaged",
                where=str(self.path),
                hint="restore a copy of it, or enrol the voices into a new one",
            ) from error


def _operational(error: sqlite3.OperationalError, path: Path) -> VoiceError:
    code, hint = _FAILURES[failure(error)]
    return VoiceError(f"SQLite: {error}", code=code, where=str(path), hint=hint)


def _summary(row: tuple[Any, ...]) -> VoiceSummary:
    provenance = json.loads(row[5])
    if not isinstance(provenance, dict):
        raise ValueError(f"the provenance of {row[0]!r} is no object")
    return VoiceSummary(
        user_id=row[0],
        language=row[1],
        model_sha256=row[2],
        features_sha256=row[3],
        consent=row[4],
        provenance=provenance,
        enrolled_at=row[6],
    )


def _array(name: str, shape: str, content: bytes) -> np.ndarray:
    if name not in RULES:
        raise ValueError(f"unknown array {name!r}")
    return np.frombuffer(content, RULES[name].dtype).reshape(json.loads(shape))
