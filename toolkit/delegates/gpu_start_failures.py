"""Operators LiteRT's GPU accelerator takes and then cannot start with, or ends the process over.

None of its own checks speaks of them; found by executing ``tests/toolkit/delegates/gpu_sweep`` on LiteRT 2.3.0. An app
that meets the second sort is killed, so they count as refusals of the whole file.
"""

from __future__ import annotations

from toolkit.delegates.gpu_strided_slice import bhwc
from toolkit.delegates.gpu_wrong_results import aligned_condition, groups_of
from toolkit.delegates.op_view import OpView
from toolkit.delegates.verdict import Refusal

ENDS_THE_PROCESS = "ends_the_process"
_MEASURED = "measured on the LiteRT 2.3.0 GPU accelerator"
_SLICE = 4


def start_failure(view: OpView) -> Refusal | None:
    """Why the accelerator fails to start with an operator it takes; None where it does not."""
    ends = _ends_the_process(view)
    if ends:
        message = f"{ends}: the accelerator ends the process"
        return Refusal(kind=ENDS_THE_PROCESS, message=message, source=_MEASURED, at_start=True)
    if view.op.kind in ("SELECT", "SELECT_V2") and not aligned_condition(view) and _batched_condition(view):
        message = "a condition of lower rank is taken for a batch: Failed to initialize kernel"
        return Refusal(kind="condition_rank", message=message, source=_MEASURED, at_start=True)
    return None


def _batched_condition(view: OpView) -> bool:
    return bhwc(view.shape("input0") or ())[0] > 1 and bhwc(view.shape("output0") or ())[0] == 1


def _ends_the_process(view: OpView) -> str:
    data = view.shape("input0") or ()
    match view.op.kind:
        case "CONV_2D":
            groups = groups_of(view)
            if groups and groups[0] > _SLICE and any(size % _SLICE for size in groups):
                return f"grouped convolution of {groups[0]} to {groups[1]} channels a group"
        case "CUMSUM":
            axis = view.integers("input1")
            if axis is not None and axis.size == 1 and int(axis.ravel()[0]) + 4 - len(data) < 0:
                return f"axis {int(axis.ravel()[0])} of rank {len(data)}"
        case "EMBEDDING_LOOKUP":
            if len(view.shape("input1") or ()) > 2:
                return f"rows of rank {len(view.shape('input1') or ()) - 1}"
        case "TOPK_V2":
            if data and len(data) > 1 and data[-1] < _SLICE:
                return f"the largest of {data[-1]} channels"
    return ""
