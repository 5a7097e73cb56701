"""Operators the GPU accelerator accepts and computes wrong, each with the condition that triggers it.

Measured on the GPU accelerator of LiteRT 2.3.0 (ML Drift, WebGPU) on a software Vulkan device, against the reference
kernels of TFLite: ``tests/toolkit/delegates/gpu_sweep`` holds the files and what became of each. Where the cause was
found in the delegate's source the line is named. The classic delegate cannot be executed here; of it only what its own
source states alike is said: the padding of transposed convolutions and of PAD with a batch.
"""

from __future__ import annotations

from collections.abc import Callable

from toolkit.delegates.gpu_strided_slice import SPREAD, bhwc
from toolkit.delegates.op_view import QUANTIZED, OpView
from toolkit.delegates.tables import commit, gpu_table
from toolkit.delegates.verdict import Refusal

_MEASURED = "measured on the LiteRT 2.3.0 GPU accelerator"
_FILE = "ml_drift_delegate/tflite/model_builder.cc"
_SLICE = 4
"""Channels a GPU texture keeps together; what fills the last ones is not always left out."""
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_SPARSE = (
    "weights the CPU unpacks from a sparse constant (DENSIFY): wrong on the GPU in both of MediaPipe's sparse models "
    "(-6 dB SNR; not finite)"
)
_RANK_BROADCASTS = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")

Rule = Callable[[OpView], str]
"""What goes wrong, as a sentence; empty when nothing does."""


def wrong_result(view: OpView, *, classic: bool = False) -> Refusal | None:
    """The way an operator goes wrong on the GPU, if it is one of the known ones."""
    kind = view.op.kind
    rule, line = _RULES.get(kind, (None, 0))
    if classic and kind not in _CLASSIC_TOO:
        return None
    message = (rule(view) if rule else "") or ("" if classic else _int8_ranks(view))
    if not message and not classic and _sparse_weights(view):
        return Refusal(kind="wrong_sparse_weights", message=_SPARSE, source=_MEASURED)
    if not message:
        return None
    source = f"{_FILE}:{line}@{commit(gpu_table())}" if line else _MEASURED
    return Refusal(kind=f"wrong_{kind.lower()}", message=message, source=source)


def _sparse_weights(view: OpView) -> bool:
    """Whether weights are unpacked from a sparse constant, which the delegate leaves to the CPU."""
    if view.op.kind not in _WEIGHTED or len(view.op.inputs) < 2 or view.is_const("input1"):
        return False
    wanted = view.op.inputs[1]
    for _ in range(2):  # DEQUANTIZE, then DENSIFY
        maker = next((op for op in view.graph.ops if wanted in op.outputs), None)
        if maker is None or not maker.inputs or maker.kind not in ("DENSIFY", "DEQUANTIZE"):
            return False
        if maker.kind == "DENSIFY":
            return True
        wanted = maker.inputs[0]
    return False


def same_padding_agrees(length: int, kernel: int, stride: int) -> bool:
    """Whether the delegate's SAME padding of a transposed convolution comes out as TFLite's along one axis.

    The delegate pads by ``max(0, K - (L - 1) % S - 1)`` of the input length L; TFLite needs ``max(0, K - S)``. Only the
    half that goes before the signal matters, so a difference that rounds away is harmless.
    """
    delegate = max(0, kernel - (length - 1) % stride - 1)
    return delegate // 2 == max(0, kernel - stride) // 2


def groups_of(view: OpView) -> tuple[int, int] | None:
    """Input and output channels of each group of a grouped convolution; None where there is one group."""
    data, weights = view.shape("input0"), view.shape("input1")
    if data is None or weights is None or len(data) != 4 or len(weights) != 4 or data[3] == weights[3]:
        return None
    groups = max(1, data[3] // max(1, weights[3]))
    return weights[3], weights[0] // groups


def _axis(view: OpView, reference: str = "input1") -> tuple[int, int] | None:
    """A constant axis and the rank of the data, None where either is unknown."""
    values, data = view.integers(reference), view.shape("input0")
    if values is None or values.size != 1 or not data or len(data) > 4:
        return None
    return int(values.ravel()[0]), len(data)


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
    if left is None or right is None or (view.is_const("input1") and len(right) == 2):
        return ""
    rank = max(len(left), len(right))
    if (1,) * (rank - len(left)) + left[:-2] == (1,) * (rank - len(right)) + right[:-2]:
        return ""
    return f"batch dimensions {left[:-2]} and {right[:-2]} are broadcast: accepted, and wrong (2.7 dB SNR)"


def _grouped(view: OpView) -> str:
    groups = groups_of(view)
    if groups is None or not any(size % _SLICE for size in groups):
        return ""
    return f"grouped convolution of {groups[0]} to {groups[1]} channels a group: wrong unless both divide by {_SLICE}"


def _int8_ranks(view: OpView) -> str:
    left, right = view.shape("input0"), view.shape("input1")
    if view.op.kind not in _RANK_BROADCASTS or view.dtype("input0") not in QUANTIZED or view.const_inputs:
        return ""
    if left is None or right is None or len(left) == len(right):
        return ""
    return f"int8 {view.op.kind} of computed tensors of different rank: wrong (8 dB SNR at best)"


def _quantised_sum(view: OpView) -> str:
    return "int8 SUM saturates" if view.dtype("input0") in QUANTIZED else ""


def _quantised_division(view: OpView) -> str:
    if view.dtype("input0") not in QUANTIZED:
        return ""
    return f"int8 {view.op.kind}: the GPU divides the values, TFLite the stored integers"


def _unbiased(view: OpView) -> str:
    if view.is_const("input1") or view.tensor("input2") is None:
        return ""
    return "computed weights: the bias is left out"


def _embedding_scales(view: OpView) -> str:
    table = view.tensor("input1")
    if table is None or table.dtype == "FLOAT32" or len(table.scales) == (table.shape or (0,))[0]:
        return ""
    return "quantised rows with one scale for all: only the first row gets it (8 bits need a scale for each row)"


def _cumulative(view: OpView) -> str:
    if view.option("exclusive") or view.option("reverse"):
        return "exclusive and reversed sums are computed as plain ones"
    found = _axis(view)
    if found is None:
        return ""
    axis, rank = found
    return "" if axis + 4 - rank == SPREAD[rank][axis % rank] else f"axis {axis} of rank {rank}: another axis is summed"


def _padded_batch(view: OpView) -> str:
    pads, data = view.integers("input1"), view.shape("input0")
    if pads is None or data is None or pads.size != 2 * len(data):
        return ""
    if pads.ravel()[:2].any():
        return "the batch is not padded on the GPU"
    return "rank 3 with a batch: the result is shifted by one" if len(data) == 3 and data[0] > 1 else ""


def _padded_with_value(view: OpView) -> str:
    """The pad is folded into the convolution that reads it, which pads with zeros; by itself it is right."""
    value = view.values("input2")
    readers = [op.kind for op in view.graph.ops if view.op.outputs and view.op.outputs[0] in op.inputs]
    if value is not None and value.size == 1 and float(value.ravel()[0]) != 0.0 and readers == ["CONV_2D"]:
        return "padded with a value before a convolution: the GPU pads with zeros"
    return _padded_batch(view)


def _last_channels(view: OpView, axes: tuple[int, ...]) -> bool:
    """Whether an operator goes over channels that do not fill the last slice of four."""
    data = view.shape("input0")
    if not data or not 2 <= len(data) <= 4:
        return False
    return len(data) - 1 in {axis % len(data) for axis in axes} and data[-1] % _SLICE != 0


def _reversed(view: OpView) -> str:
    axes = view.integers("input1")
    several = bhwc(view.shape("input0") or ())[3] > _SLICE
    wrong = several and axes is not None and _last_channels(view, tuple(int(axis) for axis in axes.ravel()))
    return f"reverses channels whose number does not divide by {_SLICE}: shifted on the GPU" if wrong else ""


def _largest_channel(view: OpView) -> str:
    found = _axis(view)
    if found is None or not _last_channels(view, (found[0],)) or bhwc(view.shape("input0") or ())[3] == 1:
        return ""
    return f"over channels whose number does not divide by {_SLICE}: the zeros that fill them up take part"


def _top_channels(view: OpView) -> str:
    return (
        f"over channels whose number does not divide by {_SLICE}: the last ones are left out"
        if _last_channels(view, (-1,))
        else ""
    )


def aligned_condition(view: OpView) -> bool:
    """Whether a condition of lower rank lands on the axes that it broadcasts to."""
    condition, made = view.shape("input0"), view.shape("output0")
    if condition is None or made is None or len(condition) > len(made) or len(made) > 4:
        return True
    return bhwc(condition) == bhwc((1,) * (len(made) - len(condition)) + condition)


def _row_softmax(view: OpView) -> str:
    return "of rank 1: every value is taken by itself" if len(view.shape("input0") or ()) == 1 else ""


def _misplaced_condition(view: OpView) -> str:
    return "" if aligned_condition(view) else "a condition of lower rank is laid along other axes"


_RULES: dict[str, tuple[Rule, int]] = {
    "ARG_MAX": (_largest_channel, 0),
    "BATCH_MATMUL": (_broadcast_matmul, 0),
    "CONV_2D": (_grouped, 0),
    "CUMSUM": (_cumulative, 1773),
    "EMBEDDING_LOOKUP": (_embedding_scales, 3193),
    "FLOOR_DIV": (_quantised_division, 0),
    "FLOOR_MOD": (_quantised_division, 0),
    "FULLY_CONNECTED": (_unbiased, 434),
    "MIRROR_PAD": (_padded_batch, 4212),
    "PAD": (_padded_batch, 4212),
    "PADV2": (_padded_with_value, 0),
    "REVERSE_V2": (_reversed, 0),
    "SELECT": (_misplaced_condition, 0),
    "SELECT_V2": (_misplaced_condition, 0),
    "SOFTMAX": (_row_softmax, 0),
    "SUM": (_quantised_sum, 0),
    "TOPK_V2": (_top_channels, 0),
    "TRANSPOSE_CONV": (_transposed_convolution, 5739),
}
"""Rule by operator, and the line of the cause where it was found in the source."""

_CLASSIC_TOO = ("MIRROR_PAD", "PAD", "TRANSPOSE_CONV")
