"""Finished steps of a protocol, so that an interrupted one goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path


class Journal:
    """What was finished, by step, with a digest of everything it was made of.

    Args:
        path: a JSON file; made when the first step is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._steps: dict[str, dict[str, str | float]] = {}
        if path.exists():
            self._steps = json.loads(path.read_text(encoding="utf-8"))

    def result(self, step: str, made_of: str) -> str | None:
        """What a step came to, if it was finished with the same inputs."""
        kept = self._steps.get(step)
        return str(kept["result"]) if kept is not None and kept["made_of"] == made_of else None

    def seconds(self) -> dict[str, float]:
        """How long each finished step took."""
        return {step: float(kept["seconds"]) for step, kept in self._steps.items()}

    def keep(self, step: str, made_of: str, result: str, seconds: float) -> None:
        """Notes a finished step; the file is replaced whole."""
        self._steps[step] = {"made_of": made_of, "result": result, "seconds": round(seconds, 1)}
        self._write()

    def forget(self, steps: Iterable[str]) -> None:
        """Strikes steps out, so that they are done again."""
        for step in steps:
            self._steps.pop(step, None)
        self._write()

    def _write(self) -> None:
        partial = self._path.with_name(f"{self._path.name}.partial")
        partial.write_text(json.dumps(self._steps, indent=1), encoding="utf-8")
        partial.replace(self._path)


def digest_of(values: Mapping[str, str]) -> str:
    """One digest over named values."""
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()


def context_digest(context: Path, ignore_file: Path) -> str:
    """One digest over the names and bytes of every file that a build sees.

    Args:
        context: folder that COPY sees.
        ignore_file: a ``.dockerignore`` of the form the images use: ``*``, then what is let in again (``!file`` or
            ``!folder/**``), then ``**/NAME``, left out at every depth.

    Raises:
        ValueError: a line of another form, a file that is not there, or nothing is let in.
    """
    lines = [line for line in ignore_file.read_text(encoding="utf-8").split() if not line.startswith("#")]
    banned = {line.removeprefix("**/") for line in lines if line.startswith("**/")}
    found: dict[str, str] = {}
    for line in lines:
        if line == "*" or line.startswith("**/"):
            continue
        if not line.startswith("!"):
            raise ValueError(f"{ignore_file}: {line!r} is neither *, !PATH nor **/NAME")
        name = line.removeprefix("!")
        path = context / name.removesuffix("/**")
        for one in path.rglob("*") if name.endswith("/**") else (path,):
            relative = one.relative_to(context)
            if one.is_file() and banned.isdisjoint(relative.parts):
                found[str(relative)] = hashlib.sha256(one.read_bytes()).hexdigest()
        if not path.exists():
            raise ValueError(f"{ignore_file}: {context} holds no {name}")
    if not found:
        raise ValueError(f"{ignore_file} lets no file in")
    return digest_of(found)
