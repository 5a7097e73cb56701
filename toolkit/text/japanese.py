"""Japanese text to phones with pitch marks, by Open JTalk.

The marks follow "Prosodic features control by symbols as input of sequence-to-sequence acoustic modeling for neural
TTS" (doi 10.1587/transinf.2020EDP7104), in the form ESPnet (Apache-2.0) gave them and GPT-SoVITS was trained on: ``[``
pitch rises, ``]`` pitch falls; the phrase border ``#`` is no symbol of the model and becomes ``UNK``, as it did in
training. Upstream's own user dictionary of names is not used.
"""

from __future__ import annotations

import re
from itertools import pairwise

from toolkit.text.front_end import package
from toolkit.text.punctuation import MARKS, without_repeats

_SPOKEN = re.compile(r"[A-Za-z\d\u3005\u3040-\u30ff\u4e00-\u9fff\uff11-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uff9d]+")
_PHONE = re.compile(r"-(.*?)\+")
_MORAS_TO_ACCENT = re.compile(r"/A:([0-9-]+)\+")
_MORA = re.compile(r"\+(\d+)\+")
_MORAS_LEFT = re.compile(r"\+(\d+)/")
_PHRASE_MORAS = re.compile(r"/F:(\d+)_")
_UNKNOWN = -50  # what stands for "xx" in a label; far from every real value


def japanese_phones(text: str) -> list[str]:
    """Phones and marks of a sentence.

    Raises:
        ExtraMissing: pyopenjtalk-plus is not installed.
    """
    package("pyopenjtalk", "Japanese text to phones")
    prepared = without_repeats(text).replace("％", "パーセント").lower()
    found: list[str] = []
    at = 0
    for spoken in _SPOKEN.finditer(prepared):
        found += _marks(prepared[at : spoken.start()])
        found += _spoken(spoken.group())
        at = spoken.end()
    return found + _marks(prepared[at:])


def not_read(text: str) -> list[str]:
    """Runs of letters Open JTalk is not given, e.g. Cyrillic."""
    return re.findall(r"[^\W_]+", _SPOKEN.sub(" ", without_repeats(text).lower()))


def _marks(between: str) -> list[str]:
    return [MARKS.get(mark, mark) for mark in between if mark != " "]


def _spoken(text: str) -> list[str]:
    engine = package("pyopenjtalk", "Japanese text to phones")
    # The package corrects Open JTalk afterwards; the model was trained on what Open JTalk itself says.
    labels = engine.make_label(engine.run_frontend(text, use_vanilla=True))
    found: list[str] = []
    for label, following in pairwise(labels[1:]):  # the first and the last are silence
        phone = _PHONE.search(label).group(1)
        if phone == "pau":
            found.append("_")
            continue
        phone = phone.lower() if phone in "AEIOU" else phone  # devoiced vowels
        found.append(phone)
        mark = _pitch(phone, label, following)
        if mark:
            found.append(mark)
    return found


def _pitch(phone: str, label: str, following: str) -> str:
    mora, next_mora = _number(_MORA, label), _number(_MORA, following)
    if _number(_MORAS_LEFT, label) == 1 and next_mora == 1 and phone in "aeiouAEIOUNcl":
        return "#"
    if _number(_MORAS_TO_ACCENT, label) == 0 and next_mora == mora + 1 and mora != _number(_PHRASE_MORAS, label):
        return "]"
    if mora == 1 and next_mora == 2:
        return "["
    return ""


def _number(pattern: re.Pattern[str], label: str) -> int:
    found = pattern.search(label)
    return int(found.group(1)) if found else _UNKNOWN
