"""The trends that end with one result, for its report."""

from __future__ import annotations

from toolkit.history.database import History, digest
from toolkit.history.quantities import quantities
from toolkit.results import RunResult, Trend, TrendPoint


def up_to(result: RunResult, history: History) -> tuple[Trend, ...]:
    """Every quantity of a result with the earlier values of its model, the result's own last.

    The result need not be in the history; results measured after it are left out.

    Raises:
        HistoryError: the history is unusable.
    """
    sha256, started = digest(result), result.run.started or ""
    known = {entry.model for entry in history.entries(result.run.model)}
    earlier = {
        (trend.part, trend.metric, trend.where, trend.unit): trend
        for trend in (history.trends(result.run.model) if known else ())
    }
    found = []
    for each in quantities(result):
        before = earlier.get((each.part, each.metric, each.where, each.unit))
        points = [
            point
            for point in (before.points if before else ())
            if point.run_sha256 != sha256 and (not started or point.started <= started)
        ]
        now = TrendPoint(
            run_sha256=sha256,
            run_id=result.run.id,
            started=started,
            value=each.value,
            low=each.low,
            high=each.high,
            valid=each.valid,
        )
        found.append(
            Trend(
                metric=each.metric,
                part=each.part,
                unit=each.unit,
                where=each.where,
                higher_is_better=each.higher_is_better,
                points=(*points, now),
            )
        )
    return tuple(found)
