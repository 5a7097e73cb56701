"""Finds the voice a student was made of: what a student sounds like is judged against it, not against itself.

A student's file names its teacher's files and their digests. A voice counts as the teacher when it was read from files
with exactly these digests; where they lie does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from converters.errors import ExtraMissing, InputError

if TYPE_CHECKING:
    from toolkit.models.voice import Teacher, Voice


def find_teacher(told: Teacher, student: Path, given: Path | None = None) -> Voice:
    """The teacher of a student.

    Args:
        told: what the student's file says of it.
        student: the student's file; the teacher is looked for beside it, and is the default voice where that fits.
        given: where the user says it is; nowhere else is looked then.

    Raises:
        InputError: it is not there, or not the one the student was made of.
    """
    from toolkit.models.piper.load import sha256_of

    wanted = sorted(told.sources.values())
    seen: list[str] = []
    for path in (given,) if given is not None else _places(told, student):
        seen.append(str(path))
        files = [path] if path.suffix != ".onnx" else [path, path.with_name(path.name + ".json")]
        if all(file.is_file() for file in files) and sorted(map(sha256_of, files)) == wanted:
            return _load(path)
    raise InputError(
        f"its teacher {told.name!r} was not found: no files with sha256 {', '.join(each[:16] for each in wanted)}",
        code="input/teacher-missing",
        where=", ".join(seen) or str(student),
        hint="name the voice the student was made of: --teacher VOICE",
    )


def _places(told: Teacher, student: Path) -> Iterator[Path]:
    from toolkit.models.piper.default import default_voice_path

    for name in told.sources:
        if not name.endswith(".json"):
            yield student.parent / Path(name).name
    try:
        yield default_voice_path()
    except ExtraMissing:  # another voice's student does not need the default voice
        return


def _load(path: Path) -> Voice:
    from toolkit.models.piper import load_voice
    from toolkit.models.voice_file import SUFFIX, read_voice

    return read_voice(path) if path.suffix == SUFFIX else load_voice(path)
