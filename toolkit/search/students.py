"""Other forms of the model a search is about: students that were distilled from it before.

A student stands in the place of the model given, and is judged as that is: what it says against what the model given
says in float, never against itself. So a file that is nobody's student, or somebody else's, is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from toolkit.errors import SearchError
from toolkit.pipeline.run_directory import file_sha256
from toolkit.pipeline.sources import Request, open_voice
from toolkit.search.intent import Intent

if TYPE_CHECKING:
    from toolkit.models.voice import Voice

GIVEN: Final = "given"
"""Position of the model itself, among its other forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """One student.

    Attributes:
        label: what its position is called.
        path: its file.
        sha256: of the file.
        recipe: built-in recipe that knows its parts; empty where the base recipe does.
    """

    label: str
    path: Path
    sha256: str
    recipe: str = ""


def refuse_unoffered(kind: str, intent: Intent) -> None:
    """Wishes that this kind of model cannot be granted are errors.

    Raises:
        SearchError: students or pruning are asked of a model that has none.
    """
    if intent.students and kind not in ("voice", "codes"):
        raise SearchError(
            "students are of a voice, or of a GPT checkpoint alone",
            code="search/intent",
            where="students",
            hint="search the GPT half alone: toolkit convert GPT.ckpt --students …" if kind == "gpt-sovits" else "",
        )
    if (intent.prune_ratios or intent.data) and kind != "codes":
        what = {
            "voice": "of a voice no channels are taken out here: give students, which are narrower; zeros among its "
            "weights would change no latency",
            "gpt-sovits": "channels are taken out of a GPT checkpoint alone",
        }.get(kind, "channels are taken out of a GPT checkpoint, and of no other model")
        raise SearchError(what, code="search/intent", where="prune_ratios" if intent.prune_ratios else "data")


def voice_students(paths: Sequence[str], request: Request) -> tuple[Student, ...]:
    """Students of the voice a search is about.

    Args:
        paths: their files.
        request: the voice.

    Raises:
        InputError: a file is missing, damaged or no voice.
        SearchError: a file is nobody's student, or another voice's.
    """
    if not paths:
        return ()
    from toolkit.models.voice_file import read_voice

    against = open_voice(request).judged_against
    wanted = sorted(against.sources.values()) if against is not None else []
    found = []
    for path, label in zip(map(Path, paths), labels_of(paths), strict=True):
        voice = read_voice(path)
        _check_teacher(voice, wanted, path)
        found.append(Student(label=label, path=path, sha256=file_sha256(path), recipe=_recipe_of(voice)))
    return tuple(found)


def codes_students(paths: Sequence[str], given: Path) -> tuple[Student, ...]:
    """Students of the GPT checkpoint a search is about.

    A checkpoint does not say whose student it is; what can be told is whether it has the same phones and codes.

    Args:
        paths: their files.
        given: the checkpoint.

    Raises:
        CheckpointError: a file is missing, damaged or foreign.
        SearchError: a student has other phones or codes.
    """
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
    from toolkit.pipeline.gpt_sovits import semantic_model

    own = semantic_model(read_checkpoint(given, "gpt"), share=True).config
    found = []
    for path, label in zip(map(Path, paths), labels_of(paths), strict=True):
        checkpoint = read_checkpoint(path, "gpt")
        sizes = semantic_model(checkpoint, share=True).config
        if (sizes.symbols, sizes.vocabulary) != (own.symbols, own.vocabulary):
            raise SearchError(
                f"it knows {sizes.symbols} phones and {sizes.vocabulary} codes, the model searched for "
                f"{own.symbols} and {own.vocabulary}",
                code="search/student",
                where=str(path),
                hint="give checkpoints that toolkit distil made of the model that is searched for",
            )
        found.append(Student(label=label, path=path, sha256=checkpoint.sha256))
    return tuple(found)


def labels_of(paths: Sequence[str]) -> list[str]:
    """As short as tells them apart: the folder's name and the file's, or the whole path.

    Raises:
        SearchError: a file is named twice.
    """
    short = [f"{path.resolve().parent.name}/{path.name}" for path in map(Path, paths)]
    if len(set(map(str, paths))) < len(paths):
        raise SearchError("a student is named twice", code="search/intent", where="students")
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def _check_teacher(voice: Voice, wanted: list[str], path: Path) -> None:
    if voice.teacher is None:
        raise SearchError(
            "it is nobody's student: its quality would be measured against itself",
            code="search/student",
            where=str(path),
            hint="give a file that toolkit distil made of the voice that is searched for",
        )
    if not wanted or sorted(voice.teacher.sources.values()) != wanted:
        raise SearchError(
            f"it is a student of {voice.teacher.name!r}, which is another voice than the one searched for",
            code="search/student",
            where=str(path),
            hint="give students of one voice, and that voice",
        )


def _recipe_of(voice: Voice) -> str:
    """The built-in recipe for a student of such parts."""
    from toolkit.models.vits.decoders import kind_of_decoder

    kind = kind_of_decoder(voice.config.generator).name
    timed = voice.config.durations is not None
    if kind == "narrow":
        return "vits-voice-small-narrow" if timed else "vits-voice-narrow"
    if kind != "hifigan":
        return "vits-voice-small-light" if timed else "vits-voice-light"
    return "vits-voice-small" if timed else ""
