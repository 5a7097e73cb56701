"""What of a text a language's front end has no phones for, so that nobody takes it for said.

Upstream drops such letters without a word: Chinese characters in English, Cyrillic in Chinese.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

_ASCII = re.compile("[A-Za-z0-9]")


def unread(text: str, language: str) -> tuple[str, ...]:
    """Runs of letters and digits that are left out, each once, in their order.

    Args:
        text: a sentence.
        language: one that has a front end.

    Raises:
        ExtraMissing: the language's packages are not installed.
    """
    return tuple(dict.fromkeys(_LEFT_OUT[language](text)))


def _english(text: str) -> list[str]:
    """Accents are taken off and the letter is read, so it is its base that counts."""
    return re.findall(r"[^\W_]+", "".join(" " if _read(letter) else letter for letter in text))


def _read(letter: str) -> bool:
    return _ASCII.match(unicodedata.normalize("NFD", letter)) is not None


def _chinese(text: str) -> list[str]:
    from toolkit.text.chinese import not_read

    return not_read(text)


def _japanese(text: str) -> list[str]:
    from toolkit.text.japanese import not_read

    return not_read(text)


_LEFT_OUT: Mapping[str, Callable[[str], list[str]]] = {"zh": _chinese, "en": _english, "ja": _japanese}
