"""Marks as the models know them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from toolkit.text.symbols import PUNCTUATION

MARKS: Mapping[str, str] = {
    "：": ",", "；": ",", "，": ",", "。": ".", "！": "!", "？": "?", "\n": ".", "·": ",", "、": ",", "...": "…",
}  # fmt: skip
_REPEATED = re.compile("([{0}])([{0}])+".format("".join(map(re.escape, PUNCTUATION))))


def without_repeats(text: str) -> str:
    """Of marks in a row the first; several make the model repeat words of its reference."""
    return _REPEATED.sub(r"\1", text)
