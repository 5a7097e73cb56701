"""NNAPI feature levels: what a user types, and what the level is called."""

from __future__ import annotations

import re

from toolkit.delegates.tables import nnapi_table
from toolkit.errors import DelegateError

DEFAULT_LEVEL = 31
"""Android 12: the last level that came with an Android release rather than with a module update."""

DEPRECATION_NOTE = (
    "NNAPI is deprecated since Android 15 (still present). Its successors are LiteRT in Play services, the GPU "
    "delegate and vendor NPU plug-ins: compare the GPU and XNNPACK placements."
)

_ANDROID_TO_LEVEL = {"8.1": 27, "9": 28, "10": 29, "11": 30, **dict.fromkeys(("12", "12l", "13", "14", "15", "16"), 31)}
_API_TO_LEVEL = {str(api): min(api, 31) for api in range(27, 37)}
_FEATURE_LEVELS = 1_000_000
_FEATURE_TO_LEVEL = {"1": 27, "2": 28, "3": 29, "4": 30, "5": 31, "6": 1000006, "7": 1000007, "8": 1000008}


def parse_level(text: str | int) -> int:
    """Turns ``12``, ``android 12``, ``API 31``, ``31``, ``FL6``, ``feature level 6`` or ``1000006`` into a level.

    From Android 13 on the runtime is a module that updates by itself, so the Android version only guarantees level 31;
    ask for a higher one by its feature level.

    Raises:
        DelegateError: the text names no known level.
    """
    wanted = str(text).strip().lower()
    levels = {int(level) for level in nnapi_table()["levels"]}
    if wanted.isdigit() and int(wanted) in levels:
        return int(wanted)
    match = re.fullmatch(r"(android|api|sdk|fl|feature level|feature-level|level)?[\s-]*(\d+(?:\.\d+)?l?)", wanted)
    if match:
        kind, number = match.groups()
        if kind in ("fl", "feature level", "feature-level"):
            found = _FEATURE_TO_LEVEL.get(number)
        elif kind in ("api", "sdk", "level"):
            found = _API_TO_LEVEL.get(number)
        elif kind == "android":
            found = _ANDROID_TO_LEVEL.get(number)
        else:
            found = _ANDROID_TO_LEVEL.get(number) or _API_TO_LEVEL.get(number)
        if found:
            return found
    raise DelegateError(
        f"unknown NNAPI level {text!r}",
        code="delegate/unknown-level",
        hint="give an Android version (8.1 to 16), an API level (27 to 36) or a feature level (fl1 to fl8)",
    )


def level_name(level: int) -> str:
    """A level in two words, as ``--android`` takes it: ``API 31`` or ``feature level 6``."""
    return f"feature level {level - _FEATURE_LEVELS}" if level > _FEATURE_LEVELS else f"API {level}"


def level_title(level: int) -> str:
    """A level as people know it, e.g. ``Android 12 (feature level 5)``."""
    description = str(nnapi_table()["levels"][str(level)])
    numbers = {27: "API 27", 28: "API 28", 29: "API 29", 30: "API 30", 31: "API 31"}
    return f"{description} ({numbers[level]})" if level in numbers else description
