"""Long text to the pieces that are said one after the other, as upstream cuts it.

Re-stated from the behaviour of GPT-SoVITS (MIT licence, (c) 2024 RVC-Boss; ``text_segmentation_method.py`` and
``inference_webui.py``), its quirks included where they decide what a sentence is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from toolkit.errors import EngineError

ENDS = frozenset("，。？！,.?!~:：—…")
_SILENT = frozenset("!?…,.- ")
_CLAUSE_ENDS = frozenset(",.;?!、，。？！：…")
_SHORT = 5
_LONG = 50
_GROUP = 4
_LONGEST = 510


def sentences_of(text: str, language: str, cut: str = "cut5") -> list[str]:
    """The pieces of a text, each with a mark at its end.

    Args:
        text: any length.
        language: decides the mark that is added: ``.`` for ``en``, ``。`` otherwise.
        cut: one of ``CUTS``: cut0 lines, cut1 four clauses, cut2 fifty characters, cut3 ``。``, cut4 ``.``, cut5 marks.

    Raises:
        EngineError: unknown cut, or nothing to say.
    """
    if cut not in CUTS:
        raise EngineError(f"no cut {cut!r}", code="engine/bad-setting", where="--cut", hint=", ".join(CUTS))
    stripped = text.strip("\n")
    pieces = CUTS[cut](stripped).split("\n") if stripped.strip() else []
    merged = _merged([piece for piece in pieces if piece not in ("", " ")])
    mark = "." if language == "en" else "。"
    ended = [piece if piece[-1] in ENDS else piece + mark for piece in merged if re.search(r"\w", piece)]
    found = [part for piece in ended for part in (_parted(piece) if len(piece) > _LONGEST else [piece])]
    if not found:
        raise EngineError("nothing to say", code="engine/nothing-to-say", where="text", hint="give a text with words")
    return found


def _merged(pieces: list[str]) -> list[str]:
    """Pieces shorter than five characters join the next one; the last joins the one before."""
    if len(pieces) < 2:
        return pieces
    found: list[str] = []
    gathered = ""
    for piece in pieces:
        gathered += piece
        if len(gathered) >= _SHORT:
            found.append(gathered)
            gathered = ""
    if gathered and found:
        found[-1] += gathered
    elif gathered:
        found.append(gathered)
    return found


def _clauses(text: str) -> list[str]:
    """Cut behind every mark; a mark is added at the end where there is none."""
    simple = text.replace("……", "。").replace("——", "，")
    if simple[-1] not in ENDS:
        simple += "。"
    marks = re.escape("".join(sorted(ENDS)))
    return re.findall(f"[^{marks}]*[{marks}]", simple)


def _parted(text: str) -> list[str]:
    """A piece longer than the text models take, cut at its marks."""
    found, gathered = [], ""
    for clause in _clauses(text):
        if gathered and len(gathered + clause) > _LONGEST:
            found.append(gathered)
            gathered = ""
        gathered += clause
    return [*found, gathered] if gathered else found


def _spoken(pieces: list[str], silent: frozenset[str] = _SILENT) -> str:
    return "\n".join(piece for piece in pieces if not set(piece) <= silent)


def _not_at_all(text: str) -> str:
    return "" if set(text) <= _SILENT else text


def _by_four(text: str) -> str:
    clauses = _clauses(text)
    starts = list(range(0, len(clauses), _GROUP))
    if len(starts) == 1:
        return _spoken([text])
    # Upstream gives the last start away, so the last group holds up to eight clauses.
    ends = [*starts[1:-1], len(clauses)]
    return _spoken(["".join(clauses[start:end]) for start, end in zip(starts, ends, strict=False)])


def _by_fifty(text: str) -> str:
    clauses = _clauses(text)
    if len(clauses) < 2:
        return text
    found, gathered = [], ""
    for clause in clauses:
        gathered += clause
        if len(gathered) > _LONG:
            found.append(gathered)
            gathered = ""
    if gathered:
        found.append(gathered)
    if len(found) > 1 and len(found[-1]) < _LONG:
        found[-2:] = [found[-2] + found[-1]]
    return _spoken(found)


def _at_chinese_stops(text: str) -> str:
    return _spoken(text.strip("。").split("。"))


def _at_english_stops(text: str) -> str:
    return _spoken(re.split(r"(?<!\d)\.(?!\d)", text.strip(".")))


def _at_marks(text: str) -> str:
    found, start = [], 0
    for place, character in enumerate(text):
        if character not in _CLAUSE_ENDS:
            continue
        if character == "." and text[place - 1 : place].isdigit() and text[place + 1 : place + 2].isdigit():
            continue  # a decimal point
        found.append(text[start : place + 1])
        start = place + 1
    return _spoken([*found, text[start:]], _CLAUSE_ENDS)


CUTS: Mapping[str, Callable[[str], str]] = {
    "cut0": _not_at_all,
    "cut1": _by_four,
    "cut2": _by_fifty,
    "cut3": _at_chinese_stops,
    "cut4": _at_english_stops,
    "cut5": _at_marks,
}
