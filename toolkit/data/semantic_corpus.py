"""Pairs of phones and semantic codes: what a text-to-semantic model is trained and judged on.

Two kinds are read: one ``.npz`` file as this project writes it, and the directory upstream prepares for its own
training (``2-name2text.txt`` and ``6-name2semantic.tsv``), which everyone who has fine-tuned a voice has.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from toolkit.errors import DataError
from toolkit.models.gpt_sovits.semantic_batch import Pair
from toolkit.text.symbols import ids_of
from toolkit.whole_file import whole_file

_PHONES_FILE: Final = "2-name2text.txt"
_CODES_FILE: Final = "6-name2semantic.tsv"
_DURATIONS: Final = "durations_ms"
_EVERY: Final = 20
"""Of a directory of upstream's, one sentence in so many is held out."""
_MOST_BYTES: Final = 1 << 30
HINT: Final = "give corpus.npz as `toolkit train t2s-small` writes it, or upstream's logs/NAME directory"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SemanticCorpus:
    """Sentences by what they are for.

    Attributes:
        training: to fit to.
        held_out: to judge by, of the same kind of text.
        evaluation: to judge by, of another kind; may be empty.
        sha256: of all phones and codes; when they were said is not in it.
    """

    training: tuple[Pair, ...] = field(repr=False)
    held_out: tuple[Pair, ...] = field(repr=False)
    evaluation: tuple[Pair, ...] = field(default=(), repr=False)

    @property
    def sha256(self) -> str:
        """Digest of phones and codes: what a text-to-semantic model learns."""
        digest = hashlib.sha256()
        for group in (self.training, self.held_out, self.evaluation):
            digest.update(len(group).to_bytes(4, "little"))
            for pair in group:
                for array in (pair.phones, pair.codes):
                    digest.update(len(array).to_bytes(4, "little") + array.astype("<i4").tobytes())
        return digest.hexdigest()

    def check(self, symbols: int, stop_token: int, where: str) -> None:
        """Every id is one a model knows.

        Raises:
            DataError: one is not.
        """
        for pair in (*self.training, *self.held_out, *self.evaluation):
            for array, limit, what in ((pair.phones, symbols, "phone"), (pair.codes, stop_token, "code")):
                if len(array) == 0 or int(array.min()) < 0 or int(array.max()) >= limit:
                    raise DataError(
                        f"a sentence has {what}s outside of 0..{limit - 1}, or none", code="data/foreign-ids",
                        where=where, hint="the data belongs to another model",
                    )  # fmt: skip


def save_corpus(corpus: SemanticCorpus, path: Path) -> None:
    """Writes an ``.npz`` file, the same bytes for the same numbers, whole or not at all."""
    arrays: dict[str, np.ndarray] = {}
    for name in ("training", "held_out", "evaluation"):
        group: Sequence[Pair] = getattr(corpus, name)
        for kind in ("phones", "codes"):
            parts = [getattr(pair, kind) for pair in group]
            arrays[f"{name}_{kind}"] = np.concatenate(parts or [np.zeros(0, np.int32)]).astype(np.int16)
            arrays[f"{name}_{kind}_lengths"] = np.array([len(part) for part in parts], np.int32)
        durations = [pair.durations_ms for pair in group if pair.durations_ms is not None]
        if group and len(durations) == len(group):
            arrays[f"{name}_{_DURATIONS}"] = np.concatenate(durations).astype(np.int16)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), content.getvalue(),
                             compress_type=zipfile.ZIP_DEFLATED)  # fmt: skip
    with whole_file(path) as scratch:
        scratch.write_bytes(held.getvalue())


def load_corpus(path: Path | str, symbols: int = 732) -> SemanticCorpus:
    """Reads either kind.

    Args:
        path: file or directory.
        symbols: phones the model knows; upstream's directory names phones, an ``.npz`` file has their ids.

    Raises:
        DataError: missing, of another kind or damaged.
    """
    path = Path(path)
    try:
        return _upstream(path, symbols) if path.is_dir() else _file(path)
    except FileNotFoundError as error:
        raise DataError(
            "there is no such training data", code="data/missing", where=str(error.filename or path), hint=HINT
        ) from error
    except (ValueError, KeyError, OSError, OverflowError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(
            f"no training data that can be read: {str(error)[:120]}", code="data/damaged", where=str(path), hint=HINT
        ) from error


def _file(path: Path) -> SemanticCorpus:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("the file is too large")
    groups: dict[str, tuple[Pair, ...]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for name in ("training", "held_out", "evaluation"):
            phones, codes = (_cut(stored, f"{name}_{kind}") for kind in ("phones", "codes"))
            if len(phones) != len(codes):
                raise ValueError(f"{name}: {len(phones)} sentences have phones, {len(codes)} have codes")
            durations = _durations(stored, name, phones)
            groups[name] = tuple(
                Pair(phones=p, codes=c, durations_ms=d) for p, c, d in zip(phones, codes, durations, strict=True)
            )
    if not groups["training"] or not groups["held_out"]:
        raise ValueError("it has nothing to train on, or nothing held out")
    return SemanticCorpus(**groups)


def _cut(stored: np.lib.npyio.NpzFile, name: str) -> list[np.ndarray]:
    flat, lengths = stored[name].astype(np.int32), stored[f"{name}_lengths"].astype(np.int64)
    if flat.ndim != 1 or lengths.ndim != 1 or (len(lengths) and lengths.min() < 0) or lengths.sum() != len(flat):
        raise ValueError(f"{name}: lengths and numbers do not fit together")
    return np.split(flat, np.cumsum(lengths)[:-1]) if len(lengths) else []


def _durations(stored: np.lib.npyio.NpzFile, name: str, phones: list[np.ndarray]) -> list[np.ndarray] | list[None]:
    """Of each sentence, where the file has them."""
    key = f"{name}_{_DURATIONS}"
    if key not in stored.files:
        return [None] * len(phones)
    flat = stored[key].astype(np.int32)
    if flat.ndim != 1 or len(flat) != sum(map(len, phones)) or (len(flat) and flat.min() < 0):
        raise ValueError(f"{key}: a duration for each phone is wanted, none below 0")
    return np.split(flat, np.cumsum([len(each) for each in phones])[:-1]) if phones else []


def _upstream(folder: Path, symbols: int) -> SemanticCorpus:
    said = {}
    for line in (folder / _PHONES_FILE).read_text(encoding="utf-8").splitlines():
        fields = line.split("\t")
        if len(fields) >= 2:
            said[fields[0]] = np.array(ids_of(fields[1].split(), symbols), np.int32)
    pairs = []
    for line in (folder / _CODES_FILE).read_text(encoding="utf-8").splitlines():
        name, _, codes = line.partition("\t")
        if name in said and codes.strip() and codes.replace(" ", "").isdecimal():
            pairs.append(Pair(phones=said[name], codes=np.array(codes.split(), np.int32)))
    held_out = tuple(pairs[::_EVERY])
    training = tuple(pair for place, pair in enumerate(pairs) if place % _EVERY)
    if not training:
        raise ValueError("no sentence has both phones and codes")
    return SemanticCorpus(training=training, held_out=held_out)
