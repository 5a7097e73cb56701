"""Operators the GPU accelerator accepts and computes wrong, each with the condition that triggers it.

Measured on the GPU accelerator of LiteRT 2.3.0 (ML Drift, WebGPU) on a software Vulkan device, against the reference
kernels of TFLite.
The padding formula of the transposed convolution is the same in the classic delegate's source.
"""

from __future__ import annotations

from toolkit.delegates.op_view import QUANTIZED, OpView
from toolkit.delegates.tables import commit, gpu_table
from toolkit.delegates.verdict import Refusal

_MEASURED = "measured on the LiteRT 2.3.0 GPU accelerator"


def wrong_result(view: OpView) -> Refusal | None:
    """The way an operator goes wrong on the GPU, if it is one of the known ones."""
    kind = view.op.kind
    rule = {
        "TRANSPOSE_CONV": _transposed_convolution,
        "BATCH_MATMUL": _broadcast_matmul,
        "CONV_2D": _grouped_same,
        "ADD": _rank_broadcast,
        "SUM": _quantised_sum,
        "FLOOR_MOD": _quantised_modulo,
    }.get(kind)
    message = rule(view) if rule else ""
    if not message:
        return None
    line = gpu_table()["ops"][kind]["known_wrong_results"].get("line")
    source = f"ml_drift_delegate/tflite/model_builder.cc:{line}@{commit(gpu_table())}" if line else _MEASURED
    return Refusal(kind=f"wrong_{kind.lower()}", message=message, source=source)


def same_padding_agrees(length: int, kernel: int, stride: int) -> bool:
    """Whether the delegate's SAME padding of a transposed convolution comes out as TFLite's along one axis.

    The delegate pads by ``max(0, K - (L - 1) % S - 1)`` of the input length L; TFLite needs ``max(0, K - S)``. Only the
    half that goes before the signal matters, so a difference that rounds away is harmless.
    """
    delegate = max(0, kernel - (length - 1) % stride - 1)
    return delegate // 2 == max(0, kernel - stride) // 2


def _transposed_convolution(view: OpView) -> str:
    data, weights = view.shape("input2"), view.shape("input1")
    if view.option("padding") != "SAME" or data is None or weights is None or len(data) != 4:
        return ""
    strides = (int(view.option("stride_h")), int(view.option("stride_w")))
    for length, kernel, stride in zip(data[1:3], weights[1:3], strides, strict=True):
        if not same_padding_agrees(length, kernel, stride):
            return f"SAME padding with length {length}, kernel {kernel}, stride {stride}: output shifted on the GPU"
    return ""


def _broadcast_matmul(view: OpView) -> str:
    left, right = view.shape("input0"), view.shape("input1")
    if left is None or right is None or left[:-2] == right[:-2]:
        return ""
    return f"batch dimensions {left[:-2]} and {right[:-2]} are broadcast: accepted, and wrong (2.7 dB SNR)"


def _grouped_same(view: OpView) -> str:
    data, weights = view.shape("input0"), view.shape("input1")
    grouped = data is not None and weights is not None and data[-1:] != weights[-1:]
    return (
        "grouped convolution with SAME padding: wrong (0 dB SNR)"
        if grouped and view.option("padding") == "SAME"
        else ""
    )


def _rank_broadcast(view: OpView) -> str:
    left, right = view.shape("input0"), view.shape("input1")
    if view.dtype("input0") not in QUANTIZED or left is None or right is None or len(left) == len(right):
        return ""
    return "int8 addition of tensors of different rank: wrong (2 dB SNR)"


def _quantised_sum(view: OpView) -> str:
    return "int8 SUM saturates" if view.dtype("input0") in QUANTIZED else ""


def _quantised_modulo(view: OpView) -> str:
    return "int8 FLOOR_MOD wraps around" if view.dtype("input0") in QUANTIZED else ""
