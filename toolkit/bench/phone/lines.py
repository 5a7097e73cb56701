"""Lines and numbers as benchmark_model prints them; everything that does not fit is one error, never a guess."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from toolkit.errors import BenchError

_LOGCAT = re.compile(r"^\d\d-\d\d \d\d:\d\d:\d\d\.\d+ +\d+ +\d+ [VDIWEF] [^:]*: ?")
_LEVEL = re.compile(r"^(?:INFO|WARN|WARNING|ERROR|FATAL|VERBOSE): ")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_LONGEST = 40


def lines_of(text: str) -> Iterator[str]:
    """Lines without logcat's prefix and the log level, which some builds print and others do not."""
    for raw in text.split("\n"):
        line = _LOGCAT.sub("", raw.rstrip("\r"))
        yield _LEVEL.sub("", line)


def number(text: str, what: str) -> float:
    """A finite decimal number.

    Raises:
        BenchError: it is none.
    """
    found = float(text) if len(text) <= _LONGEST and _NUMBER.fullmatch(text) and text.isascii() else math.nan
    if not math.isfinite(found):
        raise unreadable(f"{what} is {text[:_LONGEST]!r}, which is no number")
    return found


def whole(text: str, what: str) -> int:
    """A whole number of zero or more.

    Raises:
        BenchError: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise unreadable(f"{what} is {text[:_LONGEST]!r}, which is no count")
    return int(text)


def positive(text: str, what: str) -> float:
    """A number above zero: no time of a real run is zero.

    Raises:
        BenchError: it is none, or not above zero.
    """
    found = number(text, what)
    if found <= 0:
        raise unreadable(f"{what} is {text[:_LONGEST]}; a time above zero was expected")
    return found


def unreadable(why: str) -> BenchError:
    """The one error for output that cannot be trusted."""
    return BenchError(
        f"benchmark_model's output cannot be read: {why}",
        code="bench/phone-output",
        hint="nothing of it was used; run again, and report the output if it is whole",
    )
