"""A line the height of a table row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from toolkit.report.format import sig3
from toolkit.report.svg import Canvas, Scale, bounds

_HEIGHT = 24.0


def sparkline(values: Sequence[float], label: str) -> Markup:
    """Values in order, the last one marked. Its scale is its own: it shows direction, the numbers stand beside it."""
    low, high = bounds(values)
    y = Scale(low=low, high=high, start=_HEIGHT - 4, end=4)
    x = Scale(low=0, high=max(1, len(values) - 1), start=2, end=97)
    canvas = Canvas(_HEIGHT, label)
    places = [(x(index), y(value)) for index, value in enumerate(values)]
    for (x1, y1), (x2, y2) in pairwise(places):
        canvas.line(x1, y1, x2, y2, "spark")
    for (across, down), value in zip(places, values, strict=True):
        last = (across, down) == places[-1]
        canvas.circle(across, down, 3.4 if last else 2.0, "v-result" if last else "v-base", title=sig3(value))
    return canvas.render()
