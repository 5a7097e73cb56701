"""How an English word that is in no dictionary is said: g2p_en's sequence model (Apache-2.0), in numpy.

Its weights and its list of homographs are read from the installed package without importing it, because importing it
downloads data of another package.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from converters.errors import ExtraMissing
from toolkit.text.front_end import INSTALL

_LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH UW V W Y Z ZH"  # and a vowel without stress
_PHONES = (
    "<pad>",
    "<unk>",
    "<s>",
    "</s>",
    *sorted(
        [
            *(vowel + stress for vowel in _VOWELS.split() for stress in "012"),
            *_CONSONANTS.split(),
        ]
    ),
)
_START, _STOP = 2, 3
_LONGEST = 20


def spelled_out(word: str) -> list[str]:
    """Phones of a word by its letters.

    Args:
        word: lower case.

    Raises:
        ExtraMissing: g2p_en is not installed.
    """
    weights = _weights()
    state = np.zeros(weights["enc_w_hh"].shape[1], np.float32)
    for letter in (*word, "</s>"):
        number = _LETTERS.index(letter) if letter in _LETTERS else 1
        state = _cell(weights, "enc", weights["enc_emb"][number], state)
    found: list[str] = []
    phone = _START
    for _ in range(_LONGEST):
        state = _cell(weights, "dec", weights["dec_emb"][phone], state)
        phone = int(np.argmax(weights["fc_w"] @ state + weights["fc_b"]))
        if phone == _STOP:
            break
        found.append(_PHONES[phone])
    return found


@lru_cache(maxsize=1)
def homographs() -> dict[str, tuple[list[str], list[str], str]]:
    """Word to its phones as one part of speech, its phones otherwise, and that part's tag.

    Raises:
        ExtraMissing: g2p_en is not installed.
    """
    found = {}
    for line in (_folder() / "homographs.en").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or line.count("|") < 3:
            continue
        word, first, second, tag = line.strip().split("|", 3)
        found[word.lower()] = (first.split(), second.split(), tag)
    return found


def _folder() -> Path:
    spec = find_spec("g2p_en")
    if spec is None or not spec.submodule_search_locations:
        raise ExtraMissing(
            "package 'g2p_en' is not installed",
            code="environment/text-missing",
            where="English text to phones",
            hint=f"{INSTALL}, or give --phones",
        )
    return Path(next(iter(spec.submodule_search_locations)))


@lru_cache(maxsize=1)
def _weights() -> dict[str, np.ndarray]:
    with np.load(_folder() / "checkpoint20.npz", allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _cell(weights: dict[str, np.ndarray], side: str, x: np.ndarray, state: np.ndarray) -> np.ndarray:
    """One step of a gated recurrent unit; gates in the order reset, update, new."""
    given = weights[f"{side}_w_ih"] @ x + weights[f"{side}_b_ih"]
    held = weights[f"{side}_w_hh"] @ state + weights[f"{side}_b_hh"]
    size = len(state)
    gates = 1.0 / (1.0 + np.exp(-(given[: 2 * size] + held[: 2 * size])))
    new = np.tanh(given[2 * size :] + gates[:size] * held[2 * size :])
    return (1.0 - gates[size:]) * new + gates[size:] * state
