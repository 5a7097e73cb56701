"""A sentence with English in it: which runs are English, and which are read in the sentence's own language.

Upstream's choice for ``zh`` and ``ja`` (GPT-SoVITS, ``get_phones_and_bert``): Latin script is English, all else the
language that was asked for, since Han characters do not say whether they are Chinese or Japanese. It asks a language
detector for the border, whose model no package carries; here the script decides. A unit behind a number (``10 km``)
stays with the number, as do figures between words (``iPhone 15 Pro``) with the words.
"""

from __future__ import annotations

import re

from toolkit.text.punctuation import MARKS

_LETTER = r"A-Za-zÀ-ÖØ-öø-ÿ\uff21-\uff3a\uff41-\uff5a"
_FIGURE = r"\d"
_BETWEEN = r"[\s,.!?;:&%$#@()\"'’/\-…，。！？：；、·]*"
_REST = rf"(?:[{_LETTER}{_FIGURE}'’\-]*[{_LETTER}{_FIGURE}])?"
# Behind a number up to three small letters are a unit; "5G", "3D" and "3 apples" have none.
_UNIT = rf"(?:(?<=[{_FIGURE}])|(?<=[{_FIGURE}]\s))[a-z]{{1,3}}(?![{_LETTER}])"
_FIRST = rf"(?<![{_LETTER}/])(?!{_UNIT})[{_LETTER}]{_REST}"
_ENGLISH = re.compile(
    rf"{_FIRST}(?:{_BETWEEN}(?:[{_FIGURE}]+(?:[.,][{_FIGURE}]+)?{_BETWEEN})*(?!{_UNIT})[{_LETTER}]{_REST})*"
)
_OTHER_LETTER = re.compile(rf"(?![{_LETTER}])[^\W\d_]")
# Full-width forms to ASCII, letters and marks alike; U+FF5E, the wave, is no ASCII tilde to anyone.
_HALF_WIDTH = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5E)} | {
    ord(wide): mark for wide, mark in MARKS.items() if len(wide) == 1 and not wide.isspace()
}


def runs_of(text: str, language: str) -> list[tuple[str, str]]:
    """Runs of a sentence in their order, each with the language it is read in.

    Args:
        text: a sentence.
        language: what it is written in, apart from the English in it.

    Returns:
        One run where nothing is mixed. Marks between two runs go with the first that has words.
    """
    if language == "en":
        return [(language, text)]
    if _ENGLISH.search(text) and not _OTHER_LETTER.search(text):
        return [("en", text.translate(_HALF_WIDTH))]
    pieces: list[tuple[str, str]] = []
    at = 0
    for found in _ENGLISH.finditer(text):
        pieces += [(language, text[at : found.start()]), ("en", found.group())]
        at = found.end()
    pieces.append((language, text[at:]))
    return [(of, run.translate(_HALF_WIDTH) if of == "en" else run) for of, run in _joined(pieces)]


def _joined(pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pieces without words join the run before them, or the one behind where there is none before."""
    runs: list[tuple[str, str]] = []
    waiting = ""
    for language, piece in pieces:
        if re.search(r"\w", piece):
            runs.append((language, waiting + piece))
            waiting = ""
        elif runs:
            runs[-1] = (runs[-1][0], runs[-1][1] + piece)
        else:
            waiting += piece
    return runs or [(pieces[0][0], waiting)]
