"""Text to phone ids, by language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from converters.errors import ExtraMissing
from toolkit.errors import EngineError
from toolkit.text.mixed import runs_of
from toolkit.text.symbols import PUNCTUATION, ids_of, symbol_ids
from toolkit.text.unread import unread

_SILENT = frozenset({*PUNCTUATION, "UNK", "_"})
_FEWEST = 6  # the model swallows the beginning of shorter sentences; upstream puts a mark before them
INSTALL = "pip install 'flowlite-toolkit[text]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Characters:
    """A run of a sentence that text features exist for (zh).

    Attributes:
        start: place of its first phone in the sentence.
        text: the characters.
        counts: phones of each.
    """

    start: int
    text: str
    counts: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phones:
    """Phones of one sentence.

    Attributes:
        ids: of the phones.
        characters: what they are of, run by run, where text features exist for the language; empty elsewhere.
        unread: what no front end has phones for, e.g. Chinese characters in English; left out.
        spoken: whether anything but marks is said.
    """

    ids: list[int]
    characters: tuple[Characters, ...] = ()
    unread: tuple[str, ...] = ()
    spoken: bool = True


def phones_of(text: str, language: str, count: int) -> list[int]:
    """Phone ids of one sentence; see ``aligned_phones_of``."""
    return aligned_phones_of(text, language, count).ids


def aligned_phones_of(text: str, language: str, count: int) -> Phones:
    """Phones of one sentence and the characters they are of.

    Args:
        text: with a mark at its end, as ``sentences_of`` gives it.
        language: one of ``LANGUAGES``; English in a sentence of another is read as English, as upstream does.
        count: number of symbols the model knows.

    Raises:
        EngineError: no front end for that language.
        ExtraMissing: its packages are not installed.
    """
    if language not in LANGUAGES:
        raise EngineError(
            f"no text front end for {language!r}",
            code="text/no-front-end",
            where="--language",
            hint=f"one of {', '.join(LANGUAGES)}, or give --phones",
        )
    single = re.sub(r" {2,}", " ", text)
    runs = runs_of(single, language)
    symbols, characters = _read(runs)
    if len(symbols) < _FEWEST:
        symbols, characters = _read(runs_of("." + single, language))
    return Phones(
        ids=ids_of(symbols, count),
        characters=characters,
        unread=tuple(dict.fromkeys(word for of, run in runs for word in unread(run, of))),
        spoken=bool(set(symbols) & symbol_ids(count).keys() - _SILENT),
    )


def _read(runs: Iterable[tuple[str, str]]) -> tuple[list[str], tuple[Characters, ...]]:
    symbols: list[str] = []
    characters: list[Characters] = []
    for language, run in runs:
        said, text, counts = LANGUAGES[language](run)
        if text:
            characters.append(Characters(start=len(symbols), text=text, counts=counts))
        symbols += said
    return symbols, tuple(characters)


def unread_note(text: str, phones: Phones) -> str:
    """What is left out of a sentence, in words; empty when nothing is."""
    return f"not read, and left out: {' '.join(phones.unread)} (in {text[:40]!r})" if phones.unread else ""


def refuse_unread(phones: Phones, text: str, language: str, where: str) -> None:
    """Refuses a text of which the front end reads nothing.

    Raises:
        EngineError: nothing but marks would be said.
    """
    if not phones.spoken:
        raise EngineError(
            f"nothing of {text[:60]!r} is read as {language!r}",
            code="text/unread",
            where=where,
            hint=f"--language says what it is written in ({', '.join(LANGUAGES)}), or give --phones",
        )


def package(name: str, what: str) -> Any:
    """A package of the ``text`` extra.

    Raises:
        ExtraMissing: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ExtraMissing(
            f"package {name!r} is not installed",
            code="environment/text-missing",
            where=what,
            hint=f"{INSTALL}, or give --phones",
        ) from error


_Aligned = tuple[list[str], str, list[int]]
"""Symbols, the characters they are of, symbols of each character; the last two empty where nobody asks for them."""


def _english(text: str) -> _Aligned:
    from toolkit.text.english import english_phones

    return english_phones(text), "", []


def _japanese(text: str) -> _Aligned:
    from toolkit.text.japanese import japanese_phones

    return japanese_phones(text), "", []


def _chinese(text: str) -> _Aligned:
    from toolkit.text.chinese import aligned_phones

    return aligned_phones(text)


LANGUAGES: Mapping[str, Callable[[str], _Aligned]] = {"zh": _chinese, "en": _english, "ja": _japanese}
