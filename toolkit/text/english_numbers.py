"""English text with everything written in figures and signs put into words, as GPT-SoVITS reads it.

Re-stated from the behaviour of upstream's ``en_normalization`` (GPT-SoVITS, MIT licence); number words are inflect's.
Two of its slips are not repeated: a space before a negative number stays, and km/h is not kilometres and a letter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from toolkit.text.front_end import package

_OPERAND = r"(?:-?\d+(?:\.\d+)?|\.\d+|[A-Za-z])[⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ]*"
_ARITHMETIC = re.compile(rf"({_OPERAND})\s+([+\-×÷=])\s+({_OPERAND})")
_OPERATORS = {"+": "plus", "-": "minus", "×": "times", "÷": "divided by", "=": "Equals"}
_UNITS = {
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "tbsp": ("tablespoon", "tablespoons"),
    "tsp": ("teaspoon", "teaspoons"),
    "min": ("minute", "minutes"),
    "km": ("kilometer", "kilometers"),
    "ft": ("feet", "feet"),
    "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"),
    "m": ("meter", "meters"),
    "L": ("liter", "liters"),
    "h": ("hour", "hours"),
    "s": ("second", "seconds"),
}
_MONEY = {"£": (("pound", "pounds"), ("penny", "pence")), "$": (("dollar", "dollars"), ("cent", "cents"))}


def english_in_words(text: str) -> str:
    """The text in letters, spaces and the marks ``' . , ? ! -`` only.

    Raises:
        ExtraMissing: inflect is not installed.
    """
    words = _inflect()
    text = re.sub(r"\b([0-9]+)\. ", lambda m: words.ordinal(m.group(1)) + ", ", text)  # a list: 1. 2. 3.
    while _ARITHMETIC.search(text):
        text = _ARITHMETIC.sub(lambda m: f"{m.group(1)} {_OPERATORS[m.group(2)]} {m.group(3)}", text)
    text = re.sub(r"(^|\s)-(\d)", r"\1negative \2", text)
    for pattern, spoken in _RULES:
        text = pattern.sub(spoken, text)
    text = "".join(letter for letter in unicodedata.normalize("NFD", text) if unicodedata.category(letter) != "Mn")
    text = re.sub(r"[^ A-Za-z'.,?!\-]", "", text.replace("%", " percent"))
    text = re.sub(r"(?i)i\.e\.", "that is", text)
    text = re.sub(r"(?i)e\.g\.", "for example", text)
    return re.sub(r"(?<=\S)([A-Z])", r" \1", text)  # words in capitals are spelled


@lru_cache(maxsize=1)
def _inflect() -> Any:
    return package("inflect", "English text to phones").engine()


def _time(match: re.Match[str]) -> str:
    hours, minutes = int(match.group(1)), int(match.group(2))
    half = "a.m." if hours < 12 else "p.m."
    words = _inflect()
    hour = words.number_to_words(hours - 12 if hours > 12 else hours)
    past = words.number_to_words(minutes) if minutes else "o'clock"
    return f"{hour} {past} {half}"


def _measured(match: re.Match[str]) -> str:
    number, unit = match.group(1), match.group(2)
    return f"{number} {_UNITS[unit][0 if number == '1' else 1]}"


def _money(sign: str) -> Callable[[re.Match[str]], str]:
    large, small = _MONEY[sign]

    def spoken(match: re.Match[str]) -> str:
        whole, _, rest = match.group(1).partition(".")
        if "." in rest:
            return f"{match.group(1)} {large[1]}"
        count, part = int(whole or 0), int(rest.ljust(2, "0")) if rest else 0
        of_large, of_small = f"{count} {large[count != 1]}", f"{part} {small[part != 1]}"
        if count and part:
            return f"{of_large} and {of_small}"
        return of_large if count else of_small if part else f"zero {large[1]}"

    return spoken


def _decimal(match: re.Match[str]) -> str:
    whole, _, digits = match.group(1).partition(".")
    return f"{whole} point {' '.join(digits)}"


def _fraction(match: re.Match[str]) -> str:
    words = _inflect()
    upper, lower = (int(number) for number in match.group(1).split("/"))
    spoken = words.number_to_words(upper)
    if lower == 1:
        return spoken
    if lower == 2:
        return f"{spoken} {'half' if upper == 1 else 'halves'}"
    return f"{spoken} {words.ordinal(words.number_to_words(lower))}{'s' if upper > 1 else ''}"


def _number(match: re.Match[str]) -> str:
    words, number = _inflect(), int(match.group(0))
    if not 1000 < number < 3000:
        return words.number_to_words(number, andword="")
    if number == 2000:
        return "two thousand"
    if 2000 < number < 2010:
        return "two thousand " + words.number_to_words(number % 100)
    if number % 100 == 0:
        return words.number_to_words(number // 100) + " hundred"
    return words.number_to_words(number, andword="", zero="oh", group=2).replace(", ", " ")  # as years are read


# In this order: each leaves figures for those after it.
_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"([0-9][0-9,]+[0-9])"), lambda m: m.group(1).replace(",", "")),
    (re.compile(r"\b([01]?[0-9]|2[0-3]):([0-5][0-9])\b"), _time),
    (re.compile(rf"\b([0-9]+(?:\.[0-9]+)?)({'|'.join(_UNITS)})\b"), _measured),
    (re.compile(r"£([0-9.,]*[0-9]+)"), _money("£")),
    (re.compile(r"([0-9.,]*[0-9]+)£"), _money("£")),
    (re.compile(r"\$([0-9.,]*[0-9]+)"), _money("$")),
    (re.compile(r"([0-9.,]*[0-9]+)\$"), _money("$")),
    (re.compile(r"([0-9]+\.\s*[0-9]+)"), _decimal),
    (re.compile(r"([0-9]+/[0-9]+)"), _fraction),
    (re.compile(r"[0-9]+(?:st|nd|rd|th)"), lambda m: _inflect().number_to_words(m.group(0))),
    (re.compile(r"[0-9]+"), _number),
)
