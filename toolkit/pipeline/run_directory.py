"""The run directory: built under a temporary name beside its place, renamed when it is complete."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converters.errors import InputError

MANIFEST = "manifest.json"


class RunDirectory:
    """Where one run writes. Paths given to its methods are relative to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_bytes(self, relative: str, data: bytes) -> Path:
        """Writes a file, creating its folders."""
        target = self.path / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

    def write_json(self, relative: str, data: Any) -> Path:
        """Writes sorted, indented JSON."""
        text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return self.write_bytes(relative, (text + "\n").encode())

    def write_text(self, relative: str, text: str) -> Path:
        """Writes UTF-8 text."""
        return self.write_bytes(relative, text.encode())

    def digests(self, folders: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """Sha256 and size of every file in ``folders`` and of the files beside them, by relative path."""
        found = [p for folder in folders for p in (self.path / folder).rglob("*")]
        files = sorted(p for p in (*found, *self.path.iterdir()) if p.is_file())
        return {
            str(p.relative_to(self.path)): {"sha256": file_sha256(p), "size_bytes": p.stat().st_size} for p in files
        }


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def building(out: Path) -> Iterator[RunDirectory]:
    """Yields a temporary directory that becomes ``out`` when the body succeeds and vanishes when it does not.

    An earlier run at ``out`` is replaced only at that moment. The repro folder of a parity failure is kept outside.

    Raises:
        InputError: ``out`` exists and is not an earlier run, or its parent cannot be written.
    """
    out = out.absolute()
    refuse_foreign_directory(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    except OSError as error:
        raise not_writable(out, error) from error
    try:
        yield RunDirectory(temporary)
        temporary.chmod(0o755)
        _swap(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def not_writable(out: Path, error: OSError) -> InputError:
    """The error for a place that cannot be written to."""
    return InputError(
        f"cannot write there: {error.strerror}",
        code="output/not-writable",
        where=str(out),
        hint="choose another place with --out",
    )


def resume_folder(out: Path) -> Path:
    """Where a run into ``out`` keeps its place, hidden beside it, so that an interrupted one goes on."""
    return out.absolute().with_name(f".{out.name}.resume")


def teachers_folder(out: Path) -> Path:
    """Where runs beside ``out`` keep what teachers said, unless told otherwise."""
    return out.absolute().with_name(".teachers")


def refuse_foreign_directory(out: Path, *, what: str = "run", mark: str = MANIFEST) -> None:
    """Raises InputError when ``out`` holds anything but an earlier ``what``, known by the file ``mark``."""
    try:  # listed once: another run may be moving it away
        with os.scandir(out) as entries:
            found = {entry.name: entry.is_file() for entry in entries}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise InputError(
            "is a file, not a directory", code="output/exists", where=str(out), hint="use another --out"
        ) from None
    if found and not found.get(mark):
        raise InputError(
            f"holds files that are not an earlier {what} (no {mark})",
            code="output/exists",
            where=str(out),
            hint="empty it, or choose another place with --out",
        )


def _swap(temporary: Path, out: Path) -> None:
    """Puts ``temporary`` in the place of ``out``. Of two runs that end together the later one stays; neither fails."""
    moved: list[Path] = []
    try:
        while not _placed(temporary, out):
            moved.append(Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".old", dir=out.parent)))
            with contextlib.suppress(FileNotFoundError):  # the other run has just moved it away
                out.replace(moved[-1] / "run")
    except OSError:
        if moved and (moved[-1] / "run").exists() and not out.exists():
            (moved[-1] / "run").replace(out)
        raise
    finally:
        for old in moved:
            shutil.rmtree(old, ignore_errors=True)


def _placed(temporary: Path, out: Path) -> bool:
    """Renames a directory; False when there is another, with something in it, of that name."""
    try:
        temporary.replace(out)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True
