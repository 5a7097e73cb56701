"""What every SQLite file of the toolkit does alike: transactions, the journal, pragmas, and what a failure means."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

BUSY_SECONDS = 30.0
Failure = Literal["full", "locked", "damaged", "unusable"]


@contextmanager
def transaction(connection: sqlite3.Connection, *, write: bool = True) -> Iterator[None]:
    """All of the block or nothing; a reader sees one state throughout.

    Args:
        connection: in autocommit mode.
        write: whether it takes the write lock at once; a lock taken later could not be waited for.
    """
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled it back already
            connection.execute("ROLLBACK")
        raise


def write_ahead(connection: sqlite3.Connection) -> None:
    """Switches the journal, which does not wait for other processes by itself: tried as long as a write waits."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """The number a pragma holds."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file has no table yet."""
    return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def failure(error: sqlite3.OperationalError) -> Failure:
    """What SQLite's words mean for its user."""
    text = str(error)
    if "full" in text:
        return "full"
    if "locked" in text or "busy" in text:
        return "locked"
    if "no such table" in text or "no such column" in text or "malformed" in text:
        return "damaged"
    return "unusable"
