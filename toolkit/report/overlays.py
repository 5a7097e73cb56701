"""Overlays for Google's Model Explorer: open a ``.tflite``, then load one of these as node data.

Format: a "graph node data" object, ``{"results": {KEY: {"value": …, "bgColor": …}}, "gradient": […]}``, as documented
at https://github.com/google-ai-edge/model-explorer/wiki (custom node data) and by its ``node_data_builder``. A node's
key is its id, which for a TFLite file is the operator's place in execution order.
"""

from __future__ import annotations

from typing import Any

from toolkit.report import selection as pick
from toolkit.results import OpPlacement, Placement, PrecisionOp, RunResult

Overlay = dict[str, Any]

FOLDER = "model_explorer"

_ON, _OFF, _LEFT, _FOLDED = "#0072b2", "#d55e00", "#e69f00", "#bbbbbb"
_PRECISION = {
    "int8": "#0072b2",
    "int8-weights": "#56b4e9",
    "int8-storage": "#56b4e9",
    "int16x8": "#009e73",
    "float16": "#e69f00",
    "float32": "#d55e00",
}
"""Okabe and Ito's colours, told apart by colour-blind readers; unlisted precisions have no colour."""

_FAST, _SLOW = "#f7fbff", "#08519c"


def overlays(result: RunResult) -> dict[str, Overlay]:
    """Every overlay by file name: placement by delegate, precision, and time where operators were timed one by one."""
    found = {f"{_stem(p.part)}-{p.delegate}.json": _placement(p) for p in result.delegation if p.ops}
    found |= {f"{_stem(part)}-precision.json": _precision(rows) for part, rows in _audits(result).items()}
    timed = dict.fromkeys((run.part, run.variant) for run in result.op_runs)
    found |= {f"{_stem(part)}-time-{variant}.json": _times(result, part, variant) for part, variant in timed}
    return found


def _stem(part: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in part)


def _placement(placement: Placement) -> Overlay:
    title = pick.DELEGATE_TITLES[placement.delegate]
    return {"results": {str(op.index): _placed(op, title) for op in placement.ops}}


def _placed(op: OpPlacement, title: str) -> dict[str, Any]:
    if op.folded:
        return _node("folded into its reader", _FOLDED)
    if not op.accepted:
        return _node(f"CPU: {op.reason}" if op.reason else "CPU", _OFF)
    if op.partition is None:
        return _node("CPU: not in a partition that is delegated", _LEFT)
    return _node(f"{title}, partition {op.partition}", _ON)


def _node(value: float | str, colour: str | None) -> dict[str, Any]:
    if colour is None:
        return {"value": value}
    dark = sum(int(colour[i : i + 2], 16) * share for i, share in ((1, 0.299), (3, 0.587), (5, 0.114))) < 140
    return {"value": value, "bgColor": colour, "textColor": "#ffffff" if dark else "#000000"}


def _audits(result: RunResult) -> dict[str, list[PrecisionOp]]:
    """Rows by part, where they are the part's operators one by one; only a placement knows the places."""
    kinds = {p.part: [op.op for op in p.ops] for p in result.delegation}
    parts = dict.fromkeys(row.part for row in result.precision)
    rows = {part: [row for row in result.precision if row.part == part] for part in parts}
    return {part: own for part, own in rows.items() if [row.kind for row in own] == kinds.get(part)}


def _precision(rows: list[PrecisionOp]) -> Overlay:
    return {
        "results": {
            str(index): _node(
                row.realised if row.realised == row.asked else f"{row.realised}, asked {row.asked}",
                _PRECISION.get(row.realised),
            )
            for index, row in enumerate(rows)
        }
    }


def _times(result: RunResult, part: str, variant: str) -> Overlay:
    runs = [run for run in result.op_runs if (run.part, run.variant) == (part, variant)]
    return {
        "results": {str(run.index): {"value": run.ms} for run in runs},
        "gradient": [
            {"stop": 0, "bgColor": _FAST, "textColor": "#000000"},
            {"stop": 1, "bgColor": _SLOW, "textColor": "#ffffff"},
        ],
    }
