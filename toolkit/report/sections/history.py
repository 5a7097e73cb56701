"""Section 9: this result beside earlier ones of the same model, from a history database where one is given."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.history.judgement import judged
from toolkit.report import selection as pick
from toolkit.report.blocks import Block, Cell, Column, Note, Section, Table
from toolkit.report.format import quantity, sig3
from toolkit.report.sparkline import sparkline
from toolkit.results import RunResult, Trend

_FOLD_AFTER = 12
_MARKS = {
    "better": ("+ better", "good"),
    "worse": ("− worse", "bad"),
    "same": ("~", "muted"),
    "not known": ("", "muted"),
}


def build(result: RunResult, trends: Sequence[Trend] = ()) -> Section:
    """Baseline, now and ratio of every quantity, with a line over time.

    Args:
        result: what the page is about.
        trends: its quantities, each ending with this result's value.
    """
    shown = [trend for trend in trends if len(trend.points) > 1]
    if not trends:
        why = "no history was given (toolkit report RUN --history FILE); float32 is this result's baseline"
        blocks: tuple[Block, ...] = (pick.missing(result, "history", why),)
    elif not shown:
        blocks = (Note(text="The history holds no earlier result of this model to compare with.", tone="missing"),)
    else:
        changed = [trend for trend in shown if judged(trend) in ("better", "worse")]
        blocks = (_table(changed + [trend for trend in shown if trend not in changed]),)
    return Section(id="history", title="History", blocks=blocks)


def _table(trends: list[Trend]) -> Table:
    rows = []
    for trend in trends:
        now = trend.points[-1]
        before = next((p for p in reversed(trend.points[:-1]) if p.valid), None)
        mark, tone = _MARKS[judged(trend)]
        ratio = now.value / before.value if before and before.value else None
        runs = f"{len(trend.points)} results since {trend.points[0].started[:10]}"
        rows.append(
            (
                Cell(text=trend.part),
                Cell(text=trend.metric, sub=f"on {trend.where}" if trend.where else ""),
                Cell(
                    text=quantity(before.value, trend.unit) if before else "–",
                    sub=before.started[:10] if before else "",
                ),
                Cell(text=quantity(now.value, trend.unit), tone="strong", sub="" if now.valid else "INVALID"),
                Cell(text=sig3(ratio)),
                Cell(text=mark, tone=tone),
                Cell(chart=sparkline([p.value for p in trend.points], f"{trend.metric}, {runs}"), hover=runs),
            )
        )
    columns = (
        Column(title="Part"),
        Column(title="Quantity"),
        Column(title="Before", number=True),
        Column(title="Now", number=True),
        Column(title="Ratio", number=True),
        Column(title=""),
        Column(title="Over time", wide=True),
    )
    return Table(
        columns=columns,
        rows=tuple(rows),
        caption="What changed stands first. Before: the last valid result of the same model at the same place. Marked "
        "only where the 95 % intervals lie apart (times: by 5 % or more); ~ is no difference; no mark: no interval is "
        "known. Each line has its own scale.",
        fold_after=_FOLD_AFTER,
        form="stacking",
    )
