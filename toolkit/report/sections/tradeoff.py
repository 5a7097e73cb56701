"""Section 8: this result among others."""

from __future__ import annotations

from toolkit.report import charts
from toolkit.report import selection as pick
from toolkit.report.blocks import Figure, Section
from toolkit.results import RunResult


def build(result: RunResult) -> Section:
    """Latency against quality, with size."""
    if len(result.points) < 2:
        why = pick.missing(result, "tradeoff", "a trade-off needs two results or more")
        return Section(id="tradeoff", title="Trade-off", blocks=(why,))
    bubbles = [
        charts.Bubble(label=p.label, x=p.latency_ms, y=p.quality, size_bytes=p.size_bytes, current=p.current)
        for p in result.points
    ]
    unit = result.points[0].quality_unit
    chart = charts.scatter(
        bubbles,
        "latency, ms (left is better)",
        f"{unit} (up is better)",
        "Latency against quality, bubble area is size",
    )
    figure = Figure(
        chart=chart, caption="Bubble area: bytes on disk. Dotted: results that no other beats on both axes."
    )
    return Section(id="tradeoff", title="Trade-off", blocks=(figure,))
