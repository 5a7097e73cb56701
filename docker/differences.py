"""What two file trees differ in. The images' ids say whether; this says where."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def entry(path: Path) -> str:
    """Everything an image keeps of one file: kind, mode, owner, time, and its content's digest or target."""
    facts = path.lstat()
    kind = stat.filemode(facts.st_mode)
    if stat.S_ISLNK(facts.st_mode):
        content = str(path.readlink())
    elif stat.S_ISREG(facts.st_mode):
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
    else:
        content = str(facts.st_rdev)
    return f"{kind} {facts.st_uid}:{facts.st_gid} @{facts.st_mtime_ns / 1e9:g} {content}"


def tree(root: Path) -> Iterator[tuple[str, str]]:
    """Relative path and `entry` of every file and folder below ``root``, links not followed."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            yield str(path.relative_to(root)), entry(path)


def differences(first: Path, second: Path) -> list[str]:
    """One line for each path that is in one tree alone or not the same in both, sorted."""
    one, other = dict(tree(first)), dict(tree(second))
    lines = [f"only in the first: {path}" for path in one.keys() - other.keys()]
    lines += [f"only in the second: {path}" for path in other.keys() - one.keys()]
    shared = one.keys() & other.keys()
    lines += [f"{path}: {one[path]} | {other[path]}" for path in shared if one[path] != other[path]]
    return sorted(lines)
