"""Characters to the token ids of a BERT, and a BERT's features of characters to those of phones.

Normalised Chinese is characters and single marks, which BERT's tokeniser splits one by one; so its whole rule here is a
look-up. Source: ``vocab.txt`` of Hugging Face's BERT files; ``inference_webui.py`` of upstream (``get_bert_feature``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolkit.errors import EngineError
from toolkit.text.front_end import Phones

_MOST_BYTES = 8 << 20
_MARKED = ("[UNK]", "[CLS]", "[SEP]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Ids of characters.

    Attributes:
        ids: character to id.
        unknown: id of any other character.
        begin: id before the sentence.
        end: id after it.
    """

    ids: Mapping[str, int] = field(repr=False)
    unknown: int
    begin: int
    end: int

    def tokens(self, characters: str) -> np.ndarray:
        """``[1, characters + 2] int32``."""
        found = [self.ids.get(character, self.unknown) for character in characters]
        return np.array([[self.begin, *found, self.end]], np.int32)


def read_vocabulary(path: Path) -> Vocabulary:
    """Reads ``vocab.txt``: a token a line, its number the id.

    Raises:
        EngineError: it is missing, or lacks one of ``[UNK]``, ``[CLS]``, ``[SEP]``.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too long")
        tokens = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise EngineError(
            f"BERT's vocabulary cannot be read: {error}", code="text/no-vocabulary", where=str(path),
            hint="put vocab.txt beside the weights, as in the directory that was downloaded",
        ) from error  # fmt: skip
    ids = {token.rstrip("\r"): number for number, token in enumerate(tokens)}
    missing = [token for token in _MARKED if token not in ids]
    if missing:
        raise EngineError(
            f"BERT's vocabulary has no {missing[0]}", code="text/no-vocabulary", where=str(path),
            hint="give the vocab.txt of the same model",
        )  # fmt: skip
    single = {token: number for token, number in ids.items() if len(token) == 1}
    return Vocabulary(ids=single, unknown=ids["[UNK]"], begin=ids["[CLS]"], end=ids["[SEP]"])


def features_of_phones(phones: Phones, read: Callable[[str], np.ndarray]) -> np.ndarray:
    """Text features of a sentence's phones; zeros where it is in a language without, as upstream has it.

    Args:
        phones: of a sentence with characters.
        read: features of a run of characters, ``[width, characters + 2]``.

    Returns:
        ``[width, phones] float32``.

    Raises:
        EngineError: a run has not as many characters as it has features.
    """
    spread = [(run.start, spread_features(read(run.text), run.counts)) for run in phones.characters]
    found = np.zeros((len(spread[0][1]), len(phones.ids)), np.float32)
    for start, features in spread:
        found[:, start : start + features.shape[1]] = features
    return found


def spread_features(features: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Features of characters, repeated for each of their phones.

    Args:
        features: ``[width, characters + 2]``; those of begin and end are dropped.
        counts: phones of each character.

    Returns:
        ``[width, phones] float32``.

    Raises:
        EngineError: there are not as many characters as counts.
    """
    if features.shape[1] != len(counts) + 2:
        raise EngineError(
            f"{features.shape[1] - 2} characters have features, {len(counts)} have phones",
            code="text/no-alignment",
            where="--text",
            hint="leave out unusual marks, or give --phones",
        )
    return np.repeat(features[:, 1:-1], np.asarray(counts, np.int64), axis=1).astype(np.float32)
