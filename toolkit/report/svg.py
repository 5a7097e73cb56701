"""Hand-written SVG whose x axis is in percent and whose y axis is in pixels.

That way a chart fills whatever width the page has while its text, strokes and marks keep their size: it reads the same
on a phone, on a screen and on paper. Colours come from classes, so that light and dark are the style sheet's business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


class Canvas:
    """Collects marks and renders them."""

    def __init__(self, height: float, label: str, *, css: str = "") -> None:
        self._height = height
        self._label = label
        self._css = css
        self._marks: list[str] = []

    def rect(
        self, x: float, y: float, width: float, height: float, css: str, *, title: str = "", radius: float = 0
    ) -> None:
        """A rectangle; ``x`` and ``width`` in percent."""
        hover = f"<title>{escape(title)}</title>" if title else ""
        corner = f' rx="{_number(radius)}"' if radius else ""
        self._marks.append(
            f'<rect x="{_number(x)}%" y="{_number(y)}" width="{_number(max(0.0, width))}%" '
            f'height="{_number(max(0.0, height))}" class="{css}"{corner}>{hover}</rect>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        """A straight line; x in percent."""
        self._marks.append(
            f'<line x1="{_number(x1)}%" y1="{_number(y1)}" x2="{_number(x2)}%" y2="{_number(y2)}" class="{css}"/>'
        )

    def circle(self, x: float, y: float, radius: float, css: str, *, title: str = "") -> None:
        """A dot; x in percent, the radius in pixels."""
        hover = f"<title>{escape(title)}</title>" if title else ""
        self._marks.append(
            f'<circle cx="{_number(x)}%" cy="{_number(y)}" r="{_number(radius)}" class="{css}">{hover}</circle>'
        )

    def text(self, x: float, y: float, words: str, css: str = "", *, anchor: str = "start", dx: float = 0) -> None:
        """Words at a place; x in percent, ``dx`` shifts by pixels."""
        shift = f' dx="{_number(dx)}"' if dx else ""
        self._marks.append(
            f'<text x="{_number(x)}%" y="{_number(y)}" class="{css}" text-anchor="{anchor}"{shift}>'
            f"{escape(words)}</text>"
        )

    def render(self) -> Markup:
        """The chart as markup for the page."""
        head = f'<svg class="chart {self._css}" width="100%" height="{_number(self._height)}" role="img"'
        return Markup(f'{head} aria-label="{escape(self._label)}">' + "".join(self._marks) + "</svg>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Maps values to positions, linearly; clips what lies outside."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Position of a value."""
        span = self.high - self.low
        share = 0.5 if span == 0 else (value - self.low) / span
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    digits = 3 - math.floor(math.log10(step))
    return [round(i * step, digits) for i in range(first, last + 1)]


def bounds(values: Sequence[float], *, zero: bool = False) -> tuple[float, float]:
    """A range that holds the values with a little room."""
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    return (0.0 if zero else low - room), high + room
