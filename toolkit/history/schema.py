"""The history file: its tables, its version, and opening it so that a kill costs nothing but the killed command."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from toolkit.errors import HistoryError
from toolkit.sqlite_file import BUSY_SECONDS, is_empty, pragma, transaction, write_ahead

APPLICATION_ID = 0x464C4849  # "FLHI"; an SQLite file of another program is refused by it
VERSION = 1

_TABLES = (
    """CREATE TABLE run (
        sha256 TEXT PRIMARY KEY NOT NULL,
        id TEXT NOT NULL,
        model TEXT NOT NULL,
        started TEXT NOT NULL,
        added TEXT NOT NULL,
        valid INTEGER NOT NULL,
        passed INTEGER,
        content BLOB NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX run_model ON run (model, started, sha256)",
    """CREATE TABLE quantity (
        run_sha256 TEXT NOT NULL REFERENCES run (sha256) ON DELETE CASCADE,
        part TEXT NOT NULL,
        metric TEXT NOT NULL,
        place TEXT NOT NULL,
        unit TEXT NOT NULL,
        value REAL NOT NULL,
        low REAL,
        high REAL,
        higher_is_better INTEGER NOT NULL,
        valid INTEGER NOT NULL,
        PRIMARY KEY (run_sha256, part, metric, place)
    ) WITHOUT ROWID""",
)


def open_history(path: Path, *, create: bool) -> sqlite3.Connection:
    """A connection in autocommit mode, so that transactions stand in the code.

    Write-ahead logging lets readers go on while one process writes; ``synchronous=FULL`` makes a commit survive a power
    cut.

    Raises:
        HistoryError: no file there and ``create`` is off; not this program's; of another version.
        sqlite3.Error: damaged, locked for half a minute, or the disk is full.
    """
    if not path.exists():
        if not create:
            raise HistoryError(
                "no history there",
                code="history/none",
                where=str(path),
                hint="toolkit history add RUN --database FILE makes it",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if pragma(connection, "application_id") != APPLICATION_ID:
        _create(connection, path)
    version = pragma(connection, "user_version")
    if version != VERSION:
        raise HistoryError(
            f"written with schema {version}, this toolkit knows {VERSION}",
            code="history/other-schema",
            where=str(path),
            hint="use the toolkit that wrote it, or add the runs to a new file; it was not touched",
        )
    write_ahead(connection)


def _create(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables in one transaction; another process may have done so in the meantime."""
    if is_empty(connection):
        write_ahead(connection)
    with transaction(connection):
        if pragma(connection, "application_id") != APPLICATION_ID:
            if not is_empty(connection):
                raise HistoryError(
                    "an SQLite file, but no history of this toolkit",
                    code="history/foreign",
                    where=str(path),
                    hint="give another --database; it was not touched",
                )
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
