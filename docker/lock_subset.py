"""Part of a lock: the named packages with their hashes. `lock_subset.py LOCK NAMES OUT`; needs Python alone."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def blocks(lock: str) -> dict[str, str]:
    """Each package's lines of a pip lock, by name."""
    found = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines and (name := re.match(r"([A-Za-z0-9][\w.-]*)==", lines[0])):
            found[name[1]] = "\n".join(lines) + "\n"
    return found


def subset(lock: str, names: str) -> str:
    """The lines of the packages that ``names`` lists, one a line, ``#`` beginning a comment.

    Raises:
        ValueError: a name is not in the lock, or there is none.
    """
    known = blocks(lock)
    wanted = [line.strip() for line in names.splitlines() if line.strip() and not line.startswith("#")]
    if missing := [name for name in wanted if name not in known]:
        raise ValueError(f"not in the lock: {', '.join(missing)}")
    if not wanted:
        raise ValueError("no package is named")
    return "".join(known[name] for name in wanted)


if __name__ == "__main__":
    source, listed, out = map(Path, sys.argv[1:4])
    out.write_text(subset(source.read_text(encoding="utf-8"), listed.read_text(encoding="utf-8")), encoding="utf-8")
