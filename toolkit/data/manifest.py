"""The manifest of `calibration_data/`: what is there, where it comes from, and the digests that prove it.

One JSON object a line. A sentence's digest covers its text, phonemes and ids together, so that none of them can be
changed alone; a clip's digest is its file's.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from toolkit.errors import DataError

ROOT_VARIABLE = "TOOLKIT_CALIBRATION_DATA"
DEFAULT_ROOT = Path(os.environ.get(ROOT_VARIABLE) or Path(__file__).resolve().parents[2] / "calibration_data")
MANIFEST_NAME = "manifest.jsonl"
REGENERATE_HINT = "restore the file from version control, or run `toolkit data regenerate`"

Split = Literal["calibration", "evaluation"]


class Sentence(BaseModel):
    """A sentence to synthesise.

    Attributes:
        name: unique, e.g. ``calibration-007``.
        split: ``evaluation`` sentences are never used to calibrate or train.
        text: what is said.
        phonemes: IPA as espeak-ng gives it for ``language``, punctuation kept.
        ids: the phonemes in the table shared by Piper's espeak voices.
        seconds: length when the default voice says it with seed 0.
        language: espeak voice.
        origin: where the text comes from.
        licence: SPDX identifier.
        sha256: digest of text, phonemes and ids.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["sentence"] = "sentence"
    name: str
    split: Split
    text: str
    phonemes: str
    ids: tuple[int, ...]
    seconds: float
    language: str
    origin: str
    licence: str
    sha256: str

    @property
    def id_array(self) -> np.ndarray:
        """Ids ``[phonemes]`` int32."""
        return np.array(self.ids, dtype=np.int32)


class Clip(BaseModel):
    """A recording.

    Attributes:
        name: unique, e.g. ``clip-003``.
        file: path relative to the manifest.
        text: what is said.
        seconds: length.
        sample_rate_hz: sample rate.
        origin: what made it.
        licence: SPDX identifier of what made it; the text is CC0-1.0.
        sha256: digest of the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["clip"] = "clip"
    name: str
    file: str
    text: str
    seconds: float
    sample_rate_hz: int
    origin: str
    licence: str
    sha256: str


_ENTRY: TypeAdapter[Sentence | Clip] = TypeAdapter(Annotated[Sentence | Clip, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A checked manifest.

    Attributes:
        root: the folder.
        sentences: in file order.
        clips: in file order.
        sha256: digest of the manifest file, which covers everything in it.
    """

    root: Path
    sentences: tuple[Sentence, ...]
    clips: tuple[Clip, ...]
    sha256: str

    def split(self, name: Split) -> tuple[Sentence, ...]:
        """The sentences of a split, in file order."""
        return tuple(sentence for sentence in self.sentences if sentence.split == name)

    def clip_path(self, clip: Clip) -> Path:
        """Where a clip's file is."""
        return self.root / clip.file


def sentence_digest(text: str, phonemes: str, ids: Iterable[int]) -> str:
    """Digest of a sentence."""
    canonical = json.dumps([text, phonemes, list(ids)], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def load_manifest(root: Path | str | None = None) -> Manifest:
    """Reads and verifies a data folder.

    Args:
        root: the folder; the project's ``calibration_data`` when ``None``.

    Raises:
        DataError: the manifest or a file it names is missing, damaged or changed.
    """
    folder = Path(root) if root is not None else DEFAULT_ROOT
    path = folder / MANIFEST_NAME
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            "there is no data manifest", code="data/missing", where=str(path), hint=REGENERATE_HINT
        ) from error
    sentences: list[Sentence] = []
    clips: list[Clip] = []
    names: set[str] = set()
    for number, line in enumerate(content.splitlines(), start=1):
        where = f"{path}, line {number}"
        entry = _parse(line, where)
        if entry.name in names:
            raise DataError(f"{entry.name!r} is listed twice", code="data/damaged", where=where, hint=REGENERATE_HINT)
        names.add(entry.name)
        if isinstance(entry, Sentence):
            _require_digest(sentence_digest(entry.text, entry.phonemes, entry.ids), entry.sha256, where)
            sentences.append(entry)
        else:
            _require_digest(_file_digest(folder, entry, where), entry.sha256, str(folder / entry.file))
            clips.append(entry)
    require_disjoint([(sentence.text, sentence.split) for sentence in sentences], path)
    return Manifest(
        root=folder,
        sentences=tuple(sentences),
        clips=tuple(clips),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _parse(line: bytes, where: str) -> Sentence | Clip:
    try:
        return _ENTRY.validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            f"not a manifest entry: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            code="data/damaged",
            where=where,
            hint=REGENERATE_HINT,
        ) from error


def _file_digest(folder: Path, clip: Clip, where: str) -> str:
    path = folder / clip.file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"{clip.file!r} points outside the data folder", code="data/damaged", where=where, hint=REGENERATE_HINT
        )
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(
            "a clip of the manifest is missing", code="data/missing", where=str(path), hint=REGENERATE_HINT
        ) from error


def _require_digest(found: str, wanted: str, where: str) -> None:
    if found != wanted:
        raise DataError(
            f"sha256 is {found[:16]}, the manifest says {wanted[:16]}",
            code="data/changed",
            where=where,
            hint=REGENERATE_HINT,
        )


def require_disjoint(texts: Iterable[tuple[str, Split]], path: Path) -> None:
    """No text may be in both splits: quality would be judged on what was trained on.

    Args:
        texts: each with its split.
        path: where they come from, for the message.

    Raises:
        DataError: one is in both.
    """
    seen: dict[str, str] = {}
    for text, split in texts:
        if seen.setdefault(" ".join(text.casefold().split()), split) != split:
            raise DataError(
                f"{text!r} is in both splits",
                code="data/leak",
                where=str(path),
                hint="remove it from calibration.txt or evaluation.txt and run `toolkit data regenerate`",
            )
