"""Every version of a search as a bubble: cost to the right, quality up, the limit as a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from toolkit.report.charts import pareto
from toolkit.report.format import sig3
from toolkit.report.svg import Canvas, Scale, bounds, ticks

_TOP, _BOTTOM = 30, 44


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One version.

    Attributes:
        name: written beside it when it is the chosen one, else shown on hovering.
        x: what it costs; less is better.
        y: its quality; more is better.
        area: of the bubble, relative to the others.
        css: ``fits``, ``misses`` or ``chosen``.
    """

    name: str
    x: float
    y: float
    area: float
    css: str


def pareto_chart(
    dots: Sequence[Dot], x_title: str, y_title: str, label: str, *, limit: float | None, height: float = 320
) -> Markup:
    """The chart; the side of the limit where versions fit is shaded, a dotted line joins what nothing beats."""
    x_low, x_high = bounds([dot.x for dot in dots] + ([limit] if limit is not None else []))
    y_low, y_high = bounds([dot.y for dot in dots])
    x_marks, y_marks = ticks(max(0.0, x_low), x_high, 5), ticks(y_low, y_high, 4)
    x = Scale(low=x_marks[0], high=x_marks[-1], start=3, end=97)
    y = Scale(low=y_marks[0], high=y_marks[-1], start=height - _BOTTOM, end=_TOP)
    canvas = Canvas(height, label)
    if limit is not None:
        canvas.rect(3, _TOP - 4, x(limit) - 3, height - _BOTTOM - _TOP + 8, "budget")
    for mark in y_marks:
        canvas.line(0, y(mark), 100, y(mark), "grid")
        canvas.text(0, y(mark) + 4, _tick(mark, y_marks), "tick", anchor="end", dx=-8)
    canvas.line(0, height - _BOTTOM + 4, 100, height - _BOTTOM + 4, "axis")
    for place, mark in enumerate(x_marks):
        anchor = "start" if x(mark) < 4 else "end" if x(mark) > 96 else "middle"
        crowded = " crowded" if place % 2 else ""  # a phone has room for every other one
        canvas.text(x(mark), height - _BOTTOM + 20, _tick(mark, x_marks), f"tick{crowded}", anchor=anchor)
    canvas.text(100, height - 6, f"{x_title} →", "axis-title", anchor="end")
    canvas.text(0, 12, f"↑ {y_title}", "axis-title")
    if limit is not None:
        canvas.line(x(limit), _TOP - 4, x(limit), height - _BOTTOM + 4, "limit")
        side = "end" if x(limit) > 50 else "start"
        canvas.text(x(limit), _TOP + 6, f"limit {sig3(limit)}", "tick", anchor=side, dx=-5 if side == "end" else 5)
    for (x1, y1), (x2, y2) in pairwise(pareto([(dot.x, dot.y) for dot in dots])):
        canvas.line(x(x1), y(y1), x(x2), y(y2), "front")
    _bubbles(canvas, dots, x, y)
    return canvas.render()


def _tick(mark: float, marks: Sequence[float]) -> str:
    """A mark with the decimals that tell it from its neighbour: similarities lie close to one."""
    step = marks[1] - marks[0]
    decimals = next(places for places in range(9) if abs(round(step, places) - step) < step * 1e-6)
    return f"{mark:.{decimals}f}"


def _bubbles(canvas: Canvas, dots: Sequence[Dot], x: Scale, y: Scale) -> None:
    largest = max(dot.area for dot in dots) or 1.0
    for dot in sorted(dots, key=lambda each: (each.css == "chosen", -each.area)):
        radius = 4 + 12 * (dot.area / largest) ** 0.5
        canvas.circle(x(dot.x), y(dot.y), radius, f"bubble {dot.css}", title=dot.name)
        if dot.css == "chosen":
            anchor = "start" if x(dot.x) < 8 else "end" if x(dot.x) > 92 else "middle"
            canvas.text(
                x(dot.x), y(dot.y) - radius - 5, dot.name.partition(":")[0], "bubble-label strong", anchor=anchor
            )
