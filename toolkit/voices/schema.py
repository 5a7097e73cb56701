"""The database file: its tables, its version, and opening it so that a kill costs nothing but the killed command."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from toolkit.errors import VoiceError
from toolkit.sqlite_file import BUSY_SECONDS, is_empty, pragma, transaction, write_ahead

APPLICATION_ID = 0x464C564F  # "FLVO"; an SQLite file of another program is refused by it
VERSION = 1

_TABLES = (
    """CREATE TABLE voice (
        id TEXT PRIMARY KEY NOT NULL,
        language TEXT NOT NULL,
        model_sha256 TEXT NOT NULL,
        features_sha256 TEXT NOT NULL,
        consent TEXT NOT NULL,
        provenance TEXT NOT NULL,
        enrolled_at TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE voice_array (
        voice_id TEXT NOT NULL REFERENCES voice (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        shape TEXT NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (voice_id, name)
    ) WITHOUT ROWID""",
)

# Version n to n + 1, each a tuple of statements run in one transaction; empty until there is a second version.
MIGRATIONS: dict[int, tuple[str, ...]] = {}


def open_database(path: Path, *, create: bool) -> sqlite3.Connection:
    """A connection in autocommit mode, so that transactions stand in the code.

    Write-ahead logging lets readers go on while one process writes; ``synchronous=FULL`` makes a commit survive a
    power cut; ``secure_delete`` overwrites what is removed, because a removed voice has to be gone.

    Raises:
        VoiceError: no file there and ``create`` is off; not this program's; of a newer version; damaged.
    """
    if not path.exists():
        if not create:
            raise VoiceError(
                "no voice database there",
                code="voices/no-database",
                where=str(path),
                hint="toolkit voices add ID --database FILE makes it",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        # Readable by its owner only, from the first moment: it holds voices. SQLite's side files inherit the mode.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    if pragma(connection, "application_id") == APPLICATION_ID:
        _reach_version(connection, path)
        write_ahead(connection)
        return
    if not is_empty(connection):
        # Another process may have created the tables between the two reads.
        if pragma(connection, "application_id") != APPLICATION_ID:
            raise VoiceError(
                "an SQLite file, but no voice database",
                code="voices/not-a-database",
                where=str(path),
                hint="give another --database",
            )
        _reach_version(connection, path)
        return
    write_ahead(connection)
    with transaction(connection):
        if pragma(connection, "application_id") != APPLICATION_ID:  # several processes may create it at once
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")


def _reach_version(connection: sqlite3.Connection, path: Path) -> None:
    found = pragma(connection, "user_version")
    if found > VERSION:
        raise VoiceError(
            f"written by a newer toolkit: schema {found}, this one knows {VERSION}",
            code="voices/newer-schema",
            where=str(path),
            hint="update the toolkit; the file was not touched",
        )
    while found < VERSION:
        steps = MIGRATIONS.get(found)
        if steps is None:
            raise VoiceError(
                f"no way from schema {found} to {VERSION}",
                code="voices/no-migration",
                where=str(path),
                hint="export its voices with the toolkit that wrote it",
            )
        with transaction(connection):
            if pragma(connection, "user_version") == found:
                for statement in steps:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {found + 1}")
        found = pragma(connection, "user_version")
