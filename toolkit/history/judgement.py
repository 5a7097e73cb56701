"""Whether the last value of a trend differs from the one before, beyond noise."""

from __future__ import annotations

from typing import Literal

from toolkit.results import Trend

Judgement = Literal["better", "worse", "same", "not known"]

SMALLEST_CHANGE = 0.05
"""Two runs at two times: a smaller change of a measured time is called none, as in `toolkit compare`."""


def judged(trend: Trend, index: int = -1) -> Judgement:
    """The value at ``index`` against the last valid one before it.

    Without an interval (memory, quality means) it is not known what is noise, so nothing is said.
    """
    points = trend.points
    position = index if index >= 0 else len(points) + index
    now = points[position]
    before = next((p for p in reversed(points[:position]) if p.valid), None)
    if before is None or not now.valid:
        return "not known"
    if now.low is None or now.high is None or before.low is None or before.high is None:
        return "not known"
    exact = now.low == now.high and before.low == before.high
    apart = now.low > before.high or now.high < before.low
    if not apart or (not exact and abs(now.value - before.value) < SMALLEST_CHANGE * abs(before.value)):
        return "same"
    return "better" if (now.value > before.value) == trend.higher_is_better else "worse"
