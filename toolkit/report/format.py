"""Numbers as a reader wants them: three significant digits, a unit, the same everywhere."""

from __future__ import annotations

import math

NARROW = "\u202f"
"""Narrow no-break space between a number and its unit."""

MISSING = "–"
IDENTICAL = "bit-identical"


def sig3(value: float | None) -> str:
    """Three significant digits without exponents where a person can read them."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -4 or magnitude > 8:
        return f"{value:.2e}"
    rounded = round(value, 2 - magnitude)
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}".replace(",", NARROW).replace("-", "−")


def count(value: float | None) -> str:
    """A whole number with its digits grouped."""
    return MISSING if value is None else f"{int(value):,}".replace(",", NARROW)


def size(value: float | None) -> str:
    """Bytes in decimal units."""
    if value is None:
        return MISSING
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= factor:
            return f"{sig3(value / factor)}{NARROW}{unit}"
    return f"{count(value)}{NARROW}B"


def milliseconds(value: float | None) -> str:
    """A time in milliseconds."""
    return MISSING if value is None else f"{sig3(value)}{NARROW}ms"


def seconds(value: float | None) -> str:
    """A time in seconds, or minutes when it is long."""
    if value is None:
        return MISSING
    if value >= 120:
        return f"{int(value // 60)}{NARROW}min {round(value % 60):02d}{NARROW}s"
    return f"{sig3(value)}{NARROW}s"


def percent(ratio: float | None) -> str:
    """A share of one as a percentage."""
    if ratio is None:
        return MISSING
    if 0 < ratio < 0.001:
        return f"< 0.1{NARROW}%"
    return f"{ratio * 100:.0f}{NARROW}%" if ratio in (0.0, 1.0) else f"{sig3(ratio * 100)}{NARROW}%"


def change(ratio: float | None) -> str:
    """A ratio as a signed change, e.g. −15.8 %."""
    if ratio is None:
        return MISSING
    delta = (ratio - 1.0) * 100
    sign = "+" if delta > 0 else ""
    return f"{sign}{sig3(delta)}{NARROW}%"


def decibels(value: float | None) -> str:
    """A ratio in dB; None is a bit-identical signal."""
    return IDENTICAL if value is None else f"{sig3(value)}{NARROW}dB"


def signed(value: float | None) -> str:
    """Three digits with their sign."""
    if value is None:
        return MISSING
    return ("+" if value > 0 else "") + sig3(value)


def quantity(value: float | None, unit: str) -> str:
    """A value of any unit a gate may have."""
    if value is None:
        return MISSING
    if unit == "bytes":
        return size(value)
    if unit == "ms":
        return milliseconds(value)
    if unit in ("ratio", "cosine", ""):
        return f"{value:.4f}" if unit == "cosine" else sig3(value)
    text = count(value) if unit == "partitions" else sig3(value)
    name = unit[:-1] if unit == "partitions" and value == 1 else unit
    return f"{text}{NARROW}{name}"
