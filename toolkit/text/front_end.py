"""Text to phone ids, by language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from converters.errors import ExtraMissing
from toolkit.errors import EngineError
from toolkit.text.symbols import ids_of

_FEWEST = 6  # the model swallows the beginning of shorter sentences; upstream puts a mark before them
INSTALL = "pip install 'flowlite-toolkit[text]'"


def phones_of(text: str, language: str, count: int) -> list[int]:
    """Phone ids of one sentence.

    Args:
        text: with a mark at its end, as ``sentences_of`` gives it.
        language: one of ``LANGUAGES``.
        count: number of symbols the model knows.

    Raises:
        EngineError: no front end for that language.
        ExtraMissing: its packages are not installed.
    """
    if language not in LANGUAGES:
        raise EngineError(
            f"no text front end for {language!r}",
            code="text/no-front-end",
            where="--text-language",
            hint=f"one of {', '.join(LANGUAGES)}, or give --phones",
        )
    symbols = LANGUAGES[language]
    single = re.sub(r" {2,}", " ", text)
    found = ids_of(symbols(single), count)
    return found if len(found) >= _FEWEST else ids_of(symbols("." + single), count)


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


def _english(text: str) -> list[str]:
    from toolkit.text.english import english_phones

    return english_phones(text)


def _japanese(text: str) -> list[str]:
    from toolkit.text.japanese import japanese_phones

    return japanese_phones(text)


def _chinese(text: str) -> list[str]:
    from toolkit.text.chinese import chinese_phones

    return chinese_phones(text)


LANGUAGES: Mapping[str, Callable[[str], list[str]]] = {"zh": _chinese, "en": _english, "ja": _japanese}
