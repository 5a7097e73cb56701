"""Asks what is known of Qualcomm's NPU compiler about one operator, for NPUs with integers only (Snapdragon 7 Gen 3).

What LiteRT's Qualcomm plugin translates is read from its own table; what QNN then refuses for SM7550 was measured with
its ahead-of-time compiler. ``toolkit inspect FILE --delegate qnn --compile`` asks the compiler itself, where the
user has installed QNN's libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.delegates.op_view import OpView
from toolkit.delegates.tables import commit, qnn_table
from toolkit.delegates.verdict import Refusal, Verdict

_FLOATS = ("FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64")
_EDGES = ("QUANTIZE", "DEQUANTIZE")
"""Conversions between float and integers, where the NPU's part begins and ends."""


def judge_op(view: OpView) -> Verdict:
    """Whether the compiler takes an operator for an NPU with integers only."""
    table, kind = qnn_table(), view.op.kind
    if kind not in table["ops"]:
        message = f"the compiler translates no {kind}"
        return _refused("unmapped", message, f"{table['source']['file']}@{commit(table)}")
    edge = kind in _EDGES and view.dtype("input0") != "FLOAT16"
    if (
        not edge
        and kind not in table["float_accepted"]
        and any(t is not None and t.data is None and t.dtype in _FLOATS for t in (*view.inputs, *view.outputs))
    ):
        return _refused("float_on_npu", table["float_refusal"], table["socs"]["SM7550"]["source"] + f"@{commit(table)}")
    refusal = _shape_refusal(view, table) or _integer_refusal(view, table)
    if refusal is not None:
        return refusal
    if kind == "GATHER" and view.shape("input1") == ():
        return _refused("npu_refuses", table["refused_scalar_index"], table["measured"])
    if kind == "STRIDED_SLICE" and view.shape("output0") == ():
        return _refused("npu_refuses", table["refused_scalar_slice"], table["measured"])
    stride = max(int(view.option("stride_h")), int(view.option("stride_w"))) if kind == "TRANSPOSE_CONV" else 0
    if stride >= table["transpose_conv_stride_refused"]:
        message = f"stride {stride}: QNN's validation fails (measured at {table['transpose_conv_stride_refused']})"
        return _refused("npu_stride", message, table["measured"])
    return Verdict()


def _shape_refusal(view: OpView, table: Mapping[str, Any]) -> Verdict | None:
    rank = max((len(tensor.shape) for tensor in (*view.inputs, *view.outputs) if tensor is not None), default=0)
    turned = _is_wide(view) and view.op.kind == "TRANSPOSE"
    if rank <= (table["transpose_rank_max_int16"] if turned else table["rank_max"]):
        return None
    return _refused("npu_rank", f"{rank} axes: QNN's validation fails", table["measured"])


def _integer_refusal(view: OpView, table: Mapping[str, Any]) -> Verdict | None:
    """What QNN refuses of integers: other operators in 16 bits than in 8."""
    wide, kind = _is_wide(view), view.op.kind
    refused = table["refused_int16" if wide else "refused_int8"]
    if kind in refused:
        return _refused("npu_refuses", refused[kind], table["measured"])
    fused = view.option("fused_activation_function") if wide else "NONE"
    if fused in table["refused_fused_int16"]:
        return _refused("npu_refuses", table["refused_fused_int16"][fused], table["measured"])
    return None


def _is_wide(view: OpView) -> bool:
    return any(t is not None and t.data is None and t.dtype == "INT16" for t in (*view.inputs, *view.outputs))


def _refused(kind: str, message: str, source: str) -> Verdict:
    return Verdict(refusals=(Refusal(kind=kind, message=message, source=source),))
