"""The charts of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from toolkit.report.format import decibels, milliseconds, sig3, size
from toolkit.report.svg import Canvas, Scale, bounds, ticks


def bullet(
    value: float,
    limit: float | None,
    *,
    higher_is_better: bool = False,
    baseline: float | None = None,
    status: str = "",
    label: str = "",
) -> Markup:
    """A value against its budget: bar, limit mark, and a small mark for the baseline."""
    known = [v for v in (value, limit, baseline) if v is not None]
    low, top = 0.0, max(abs(v) for v in known) * 1.12 or 1.0
    if higher_is_better and limit:
        # A floor close to the best possible value: from zero, everything would look alike.
        span = max(1.6 * abs(value - limit), 0.004 * abs(limit)) if abs(value - limit) < 0.05 * abs(limit) else None
        low, top = (limit - span, limit + span) if span else (0.0, top)
    scale = Scale(low=low, high=top, start=0, end=100)
    canvas = Canvas(16, label or f"{sig3(value)} against a limit of {sig3(limit)}", css="bullet")
    canvas.rect(0, 3, 100, 10, "track", radius=2)
    if limit is not None:
        inside = (scale(limit), 100 - scale(limit)) if higher_is_better else (0.0, scale(limit))
        canvas.rect(inside[0], 3, inside[1], 10, "budget", radius=2)
    canvas.rect(0, 5.5, scale(value), 5, f"value {status}", radius=1)
    if baseline is not None:
        canvas.line(scale(baseline), 2, scale(baseline), 14, "baseline")
    if limit is not None:
        canvas.line(scale(limit), 0, scale(limit), 16, "limit")
    return canvas.render()


def share_bar(ratio: float, css: str, label: str) -> Markup:
    """A plain horizontal bar, for a table cell; ``ratio`` of the cell's width."""
    canvas = Canvas(12, label, css="share")
    canvas.rect(0, 1, min(100.0, ratio * 100), 10, css, radius=1)
    return canvas.render()


def stacked(segments: Sequence[tuple[float, str, str]], total: float, label: str, *, height: float = 22) -> Markup:
    """Segments of (value, class, hover) on a bar whose full width is ``total``."""
    canvas = Canvas(height, label, css="stacked")
    x = 0.0
    for value, css, hover in segments:
        width = 100 * value / total if total else 0.0
        canvas.rect(x, 0, width, height, css, title=hover)
        x += width
    return canvas.render()


def strip(series: Sequence[tuple[str, str, Sequence[float]]], label: str, *, height: float = 190) -> Markup:
    """Samples in run order, one mark each, with a line at each series' median. Series: (name, class, samples in ms)."""
    low, high, beyond = _time_range([v for _, _, samples in series for v in samples])
    marks = ticks(low, high, 4)
    y = Scale(low=marks[0], high=marks[-1], start=height - 22, end=10)
    canvas = Canvas(height, label)
    _y_axis(canvas, y, marks, "ms")
    longest = max(len(samples) for _, _, samples in series)
    for name, css, samples in series:
        median = sorted(samples)[len(samples) // 2]
        canvas.line(0, y(median), 100, y(median), f"median {css}")
        for i, value in enumerate(samples):
            x = 1.5 + 97 * i / max(1, longest - 1)
            off = " off" if value > marks[-1] else ""
            canvas.circle(x, y(value), 2.6, f"mark {css}{off}", title=f"{name}, run {i + 1}: {milliseconds(value)}")
    _off_scale(canvas, [v for v in beyond if v > marks[-1]])
    canvas.text(0, height - 4, "run 1", "tick")
    canvas.text(100, height - 4, f"run {longest}", "tick", anchor="end")
    return canvas.render()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSeries:
    """One box: quartiles, whiskers and the interval of the median, all in ms."""

    name: str
    css: str
    samples: Sequence[float]
    ci_low: float
    ci_high: float


def boxes(series: Sequence[BoxSeries], label: str, *, row: float = 46) -> Markup:
    """Box plots on one axis: quartiles, whiskers to the 5th and 95th percentile, and the interval of the median."""
    low, high, beyond = _time_range([v for s in series for v in s.samples])
    marks = ticks(low, high, 5)
    x = Scale(low=marks[0], high=marks[-1], start=0, end=100)
    height = row * len(series) + 26
    canvas = Canvas(height, label)
    _x_axis(canvas, x, marks, height - 22, "ms")
    for n, s in enumerate(series):
        ordered = sorted(s.samples)
        p5, q1, p50, q3, p95 = (ordered[round(q * (len(ordered) - 1))] for q in (0.05, 0.25, 0.5, 0.75, 0.95))
        middle = n * row + row / 2 + 6
        canvas.text(0, middle - 14, s.name, "tick strong")
        canvas.line(x(p5), middle, x(p95), middle, f"whisker {s.css}")
        canvas.rect(
            x(q1),
            middle - 8,
            max(0.4, x(q3) - x(q1)),
            16,
            f"box {s.css}",
            title=f"{s.name}: quartiles {milliseconds(q1)} to {milliseconds(q3)}",
        )
        canvas.rect(
            x(s.ci_low),
            middle + 10,
            max(0.3, x(s.ci_high) - x(s.ci_low)),
            3,
            f"interval {s.css}",
            title="95 % interval of the median",
        )
        canvas.line(x(p50), middle - 8, x(p50), middle + 8, "middle")
        for value in ordered:
            if p95 < value <= marks[-1] or value < p5:
                canvas.circle(x(value), middle, 2, f"mark {s.css}", title=milliseconds(value))
    _off_scale(canvas, [v for v in beyond if v > marks[-1]])
    return canvas.render()


def _time_range(samples: Sequence[float]) -> tuple[float, float, list[float]]:
    """A range for times: never below zero, and not stretched by a few runs that something else held up.

    Returns:
        Low and high end, and the samples above the high end.
    """
    ordered = sorted(samples)
    q1, q3, p95 = (ordered[round(q * (len(ordered) - 1))] for q in (0.25, 0.75, 0.95))
    ceiling = max(q3 + 8 * (q3 - q1), 1.5 * p95)
    kept = [v for v in ordered if v <= ceiling]
    low, high = bounds(kept)
    return max(0.0, low), high, ordered[len(kept) :]


def _off_scale(canvas: Canvas, beyond: Sequence[float]) -> None:
    if beyond:
        runs = "1 run" if len(beyond) == 1 else f"{len(beyond)} runs"
        canvas.text(100, 8, f"{runs} off the scale, up to {milliseconds(max(beyond))}", "tick", anchor="end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One hop of the ladder: where it leads, its signal-to-noise ratio (None: bit-identical) and its gate, in dB."""

    hop: str
    snr_db: float | None
    limit_db: float | None = None

    @property
    def fails(self) -> bool:
        """True when the hop is below its gate."""
        return self.limit_db is not None and self.snr_db is not None and self.snr_db < self.limit_db


def ladder(steps: Sequence[Step], label: str, *, height: float = 200) -> Markup:
    """Steps of signal-to-noise ratio from hop to hop; a dotted line is the gate of the hops it spans."""
    finite = [v for step in steps for v in (step.snr_db, step.limit_db) if v is not None]
    top = max([*finite, 20.0]) * 1.18
    marks = [t for t in ticks(0, top, 4) if t <= top]
    y = Scale(low=0, high=top, start=height - 46, end=14)
    canvas = Canvas(height, label)
    _y_axis(canvas, y, marks, "dB")
    width = 100 / len(steps)
    previous: float | None = None
    for i, step in enumerate(steps):
        at = y(top) if step.snr_db is None else y(step.snr_db)
        css = "bad" if step.fails else ""
        canvas.rect(i * width, at, width, y(0) - at, f"step-fill {css}", title=f"{step.hop}: {decibels(step.snr_db)}")
        canvas.line(i * width, at, (i + 1) * width, at, f"step {css}")
        if previous is not None:
            canvas.line(i * width, previous, i * width, at, "step riser")
        if step.limit_db is not None:
            canvas.line(i * width, y(step.limit_db), (i + 1) * width, y(step.limit_db), "gate")
        value = "=" if step.snr_db is None else sig3(step.snr_db)
        canvas.text(i * width + width / 2, at - 5, value, "step-value", anchor="middle")
        first, _, second = step.hop.partition(" ")
        canvas.text(i * width + width / 2, height - 30, first, "tick", anchor="middle")
        canvas.text(i * width + width / 2, height - 17, second, "tick", anchor="middle")
        previous = at
    gated = next((step.limit_db for step in steps if step.limit_db is not None), None)
    if gated is not None:
        canvas.text(0, y(gated) + 13, f"gate {decibels(gated)}", "tick gate-label", dx=5)
    return canvas.render()


def heat_strip(values: Sequence[tuple[str, float | None]], label: str, *, height: float = 34) -> Markup:
    """Error of each intermediate tensor along depth: the darker, the noisier."""
    canvas = Canvas(height, label)
    width = 100 / len(values)
    for i, (name, value) in enumerate(values):
        canvas.rect(i * width, 0, width + 0.05, height, heat_class(value), title=f"{name}: {decibels(value)}")
    return canvas.render()


HEAT_STEPS: tuple[tuple[float, str, str], ...] = (
    (10, "heat0", "below 10 dB"),
    (20, "heat1", "10 to 20 dB"),
    (30, "heat2", "20 to 30 dB"),
    (50, "heat3", "30 to 50 dB"),
    (float("inf"), "heat4", "above 50 dB"),
)


def heat_class(snr_db: float | None) -> str:
    """Shade of a signal-to-noise ratio; None is bit-identical."""
    if snr_db is None:
        return HEAT_STEPS[-1][1]
    return next(css for top, css, _ in HEAT_STEPS if snr_db < top)


def ribbon(cells: Sequence[tuple[str, str]], label: str, *, height: float = 40) -> Markup:
    """The graph in execution order, one cell an operator; cells are (class, hover). Gaps show where sides change."""
    canvas = Canvas(height, label, css="ribbon")
    width = 100 / len(cells)
    for i, (css, hover) in enumerate(cells):
        canvas.rect(i * width, 0, width, height, f"cell {css}", title=hover)
    for i in range(1, len(cells)):
        if cells[i][0] != cells[i - 1][0]:
            canvas.line(i * width, 0, i * width, height, "seam")
    return canvas.render()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """A point of the trade-off plot."""

    label: str
    x: float
    y: float
    size_bytes: int
    current: bool


def scatter(bubbles: Sequence[Bubble], x_title: str, y_title: str, label: str, *, height: float = 300) -> Markup:
    """Latency against quality; the bubble's area is the size on disk. A dotted line joins what nothing beats."""
    x_low, x_high = bounds([b.x for b in bubbles])
    y_low, y_high = bounds([b.y for b in bubbles])
    x_marks, y_marks = ticks(x_low, x_high, 5), ticks(y_low, y_high, 4)
    x = Scale(low=x_marks[0], high=x_marks[-1], start=3, end=97)
    y = Scale(low=y_marks[0], high=y_marks[-1], start=height - 44, end=26)
    canvas = Canvas(height, label)
    _y_axis(canvas, y, y_marks, "")
    _x_axis(canvas, x, x_marks, height - 40, "")
    canvas.text(100, height - 6, f"{x_title} →", "axis-title", anchor="end")
    canvas.text(0, 12, f"↑ {y_title}", "axis-title")
    largest = max(b.size_bytes for b in bubbles)
    front = pareto([(b.x, b.y) for b in bubbles])
    for (x1, y1), (x2, y2) in pairwise(front):
        canvas.line(x(x1), y(y1), x(x2), y(y2), "front")
    for b in sorted(bubbles, key=lambda each: -each.size_bytes):
        radius = 5 + 17 * (b.size_bytes / largest) ** 0.5
        css = "bubble current" if b.current else "bubble"
        canvas.circle(
            x(b.x), y(b.y), radius, css, title=f"{b.label}: {milliseconds(b.x)}, {sig3(b.y)}, {size(b.size_bytes)}"
        )
        anchor = "start" if x(b.x) < 25 else "end" if x(b.x) > 75 else "middle"
        css = "bubble-label strong" if b.current else "bubble-label"
        canvas.text(x(b.x), y(b.y) - radius - 6, f"{b.label}, {size(b.size_bytes)}", css, anchor=anchor)
    return canvas.render()


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points that no other beats on both axes: smaller x and larger y are better. Sorted by x."""
    front: list[tuple[float, float]] = []
    for point in sorted(set(points), key=lambda p: (p[0], -p[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front


def _y_axis(canvas: Canvas, y: Scale, marks: Sequence[float], unit: str) -> None:
    for i, mark in enumerate(marks):
        canvas.line(0, y(mark), 100, y(mark), "grid")
        last = i == len(marks) - 1
        canvas.text(0, y(mark) + 4, f"{sig3(mark)} {unit}".strip() if last else sig3(mark), "tick", anchor="end", dx=-8)


def _x_axis(canvas: Canvas, x: Scale, marks: Sequence[float], bottom: float, unit: str) -> None:
    canvas.line(0, bottom, 100, bottom, "axis")
    for i, mark in enumerate(marks):
        canvas.line(x(mark), 4, x(mark), bottom, "grid")
        anchor = "start" if x(mark) < 4 else "end" if x(mark) > 96 else "middle"
        words = f"{sig3(mark)} {unit}".strip() if i == len(marks) - 1 else sig3(mark)
        # On a phone the last mark, which carries the unit, needs the room of the one before it.
        css = "tick crowded" if unit and i == len(marks) - 2 > 1 else "tick"
        canvas.text(x(mark), bottom + 16, words, css, anchor=anchor)
