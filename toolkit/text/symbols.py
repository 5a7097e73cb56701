"""The phone symbols of GPT-SoVITS and their ids.

The lists are facts of the published models (GPT-SoVITS, MIT licence, (c) 2024 RVC-Boss, ``text/symbols.py`` and
``text/symbols2.py``): an id is a row of an embedding table. Upstream sorts a set of symbols by code point; v2 appends
Japanese pitch marks, Korean letters and Cantonese syllable parts, so that ids below 322 mean the same in every version.
The Cantonese names (ids 353 to 731) are not here, because there is no front end that would make them.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

from toolkit.errors import EngineError

COUNT_V1 = 322
COUNT_V2 = 732
PUNCTUATION = ("!", "?", "…", ",", ".", "-")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_MARKS = (*PUNCTUATION, "SP", "SP2", "SP3", "UNK", "_")
_INITIALS = _words("AA EE OO b c ch d f g h j k l m n p q r s sh t w x y z zh")
_FINALS = _words(
    """E En a ai an ang ao e ei en eng er i i0 ia ian iang iao ie in ing iong ir iu o ong ou
    u ua uai uan uang ui un uo v van ve vn"""
)
_JAPANESE = _words("I N U a b by ch cl d dy e f g gy h hy i j k ky m my n ny o p py r ry s sh t ts u v w y z")
_ARPA_VOWELS = _words("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW")
_ARPA_CONSONANTS = _words("B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH")
_KOREAN = "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎㄲㄸㅃㅆㅉㅏㅓㅗㅜㅡㅣㅐㅔ空停"


@lru_cache(maxsize=2)
def symbol_ids(count: int) -> dict[str, int]:
    """Symbol to id, for a model with so many symbols.

    Args:
        count: ``COUNT_V1`` or ``COUNT_V2``.

    Raises:
        EngineError: no published model has so many.
    """
    if count not in (COUNT_V1, COUNT_V2):
        raise EngineError(
            f"no version of the model has {count} symbols",
            code="text/unknown-symbols",
            where="symbols",
            hint=f"v1 has {COUNT_V1}, v2 and later {COUNT_V2}; give --phones as numbers",
        )
    tones = [final + tone for final, tone in product(_FINALS, "12345")]
    stresses = [vowel + stress for vowel, stress in product(_ARPA_VOWELS, "012")]
    arpa = [*stresses, *_ARPA_CONSONANTS, "ER", "IH"]  # two of upstream's vowels come without stress as well
    named = sorted({*_MARKS, *_INITIALS, *tones, *_JAPANESE, *arpa})
    if count == COUNT_V2:
        named += ["[", "]", *sorted(_KOREAN)]
    return {symbol: number for number, symbol in enumerate(named)}


def ids_of(symbols: list[str], count: int) -> list[int]:
    """Ids of symbols; one the model does not know becomes ``UNK``, as upstream does."""
    known = symbol_ids(count)
    return [known.get(symbol, known["UNK"]) for symbol in symbols]


def parsed_phones(text: str, count: int) -> list[int]:
    """Ids of phones written out, as numbers or as symbols, with blanks between them.

    Raises:
        EngineError: a number out of range or a symbol the model does not know.
    """
    known = symbol_ids(count) if not all(word.isdecimal() for word in text.split()) else {}
    found = []
    for word in text.split():
        number = int(word) if word.isdecimal() and len(word) < 9 else known.get(word, -1)
        if not 0 <= number < count:
            raise EngineError(
                f"no phone is called {word[:40]!r}",
                code="text/unknown-phone",
                where="--phones",
                hint=f"numbers 0..{count - 1}, or symbols such as HH AH0 L OW1 .",
            )
        found.append(number)
    return found
