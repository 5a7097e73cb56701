"""Refusals of the GPU delegates that the tables state as a message: what must be true for each to be raised."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.tflite_graph.read import TfliteOp
from toolkit.delegates.gpu_checks import broadcastable
from toolkit.delegates.gpu_strided_slice import bhwc, output_mismatch
from toolkit.delegates.op_view import OpView

Broken = Callable[[OpView], bool]
"""True when the operator runs into the refusal."""

_MULTIPLY_OR_ADD = ("MUL", "ADD", "ADD_N")
_COMPARISONS_CONSUMED_BY = ("CAST", "SELECT", "SELECT_V2")
_LOGICAL = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL", "LOGICAL_AND")
_FLOATS = ("FLOAT16", "FLOAT32")
_ELEMENTWISE_UNARY_CONSTANT = 1


def _dims(view: OpView, reference: str) -> tuple[int, ...]:
    return view.shape(reference) or ()


def _outside_4d(reference: str) -> Broken:
    return lambda v: not 1 <= len(_dims(v, reference)) <= 4


def _identical_inputs(v: OpView) -> bool:
    return len(v.op.inputs) == 2 and v.op.inputs[0] == v.op.inputs[1] and v.op.kind not in _MULTIPLY_OR_ADD


def _not_broadcastable(v: OpView) -> bool:
    if v.runtime_inputs != 2 or len(v.inputs) != 2:
        return False
    left, right = _dims(v, "input0"), _dims(v, "input1")
    return len(left) != len(right) and not broadcastable(left, right)


def _unreadable_constant(v: OpView) -> bool:
    if len(v.inputs) != 2 or v.const_inputs != _ELEMENTWISE_UNARY_CONSTANT:
        return False
    constant = next(t for t in v.inputs if t is not None and t.data is not None)
    convertible = constant.dtype in _FLOATS or (
        len(constant.scales) > 0 and constant.dtype in ("INT8", "UINT8", "INT4")
    )
    one_value = int(np.prod(constant.shape)) == 1
    return bool(constant.is_sparse) or (one_value and not convertible and constant.dtype != "INT32")


def _matmul_rank(v: OpView) -> bool:
    return v.runtime_inputs == 1 and v.is_const("input1") and len(_dims(v, "input1")) not in (2, 3, 4)


def _no_concat_axis(v: OpView) -> bool:
    shapes = [bhwc(t.shape) for t in v.inputs if t is not None]
    differing = {axis for axis in range(4) if len({s[axis] for s in shapes}) > 1}
    return len(differing) > 1


def _starts(v: OpView) -> int:
    return int(np.prod(_dims(v, "input1"))) if v.shape("input1") is not None else 0


def _slice_count(rank: int, allowed: tuple[int, ...]) -> Broken:
    return lambda v: len(_dims(v, "input0")) == rank and _starts(v) not in allowed


def _slice_output(axis: int) -> Broken:
    def broken(v: OpView) -> bool:
        starts, sizes, source = v.integers("input1"), v.integers("input2"), _dims(v, "input0")
        if starts is None or sizes is None or not starts.size == sizes.size == len(source) <= 4:
            return False
        expected = tuple(
            s - int(b) if n == -1 else int(n) for s, b, n in zip(source, starts.flat, sizes.flat, strict=True)
        )
        return bhwc(expected)[axis] != bhwc(_dims(v, "output0"))[axis]

    return broken


def _strides(v: OpView) -> np.ndarray:
    strides = v.integers("input3")
    return np.ones(1, np.int64) if strides is None else strides


def _linear(shape: tuple[int, ...]) -> bool:
    """Whether a shape reads as a row (model_builder_helper.cc:295-301)."""
    return bool(shape) and all(size == 1 for size in shape[:-1])


def _prelu_linear(v: OpView) -> bool:
    alpha = _dims(v, "input1")
    return v.is_const("input1") and _linear(alpha) and alpha[-1] != bhwc(_dims(v, "input0"))[3]


def _prelu_full(v: OpView) -> bool:
    """An alpha that is no row is read as height, width and channels (model_builder_helper.cc:308-326)."""
    alpha = _dims(v, "input1")
    if not v.is_const("input1") or _linear(alpha):
        return False
    if len(alpha) == 4 and alpha[0] == 1:
        alpha = alpha[1:]
    return alpha != bhwc(_dims(v, "input0"))[1:]


def _one_hot_axis(v: OpView) -> bool:
    dims, axis = _dims(v, "input0"), v.option("axis")
    return axis != -1 and (not dims or axis != dims[-1])


def _permutation(v: OpView) -> bool:
    values = v.values("input1")
    return values is None or not 2 <= values.size <= 4


REFUSALS: dict[str, Broken] = {
    "Applies only two input tensors": lambda v: v.runtime_inputs == 2 and len(v.inputs) != 2,
    "No support of few identical inputs in the same operation.": _identical_inputs,
    "Inputs dimensions sizes don't match, broadcasting isn't applicable.": _not_broadcastable,
    "Can't parse inputs with const tensors.": _unreadable_constant,
    "Not supported batched mat mul case: non-constant tensor": lambda v: v.runtime_inputs == 1 and v.is_const("input0"),
    "Not supported batched mat mul case: second input has unsupported rank": _matmul_rank,
    "Not supported batched mat mul case: too many inputs": lambda v: v.runtime_inputs not in (1, 2),
    "Couldn't find an axis to concatenate by.": _no_concat_axis,
    "input must be a runtime tensor": lambda v: v.is_const("input0"),
    "Unsupported Depthwise Convolution case.": lambda v: v.runtime_inputs not in (1, 2),
    "Dequantize for Densify is not supported": lambda v: v.runtime_inputs == 1 and not _has_scales(v, "input0"),
    "Encountered Dequantize input with no quant params": lambda v: (
        v.runtime_inputs > 1 and not _has_scales(v, "input0")
    ),
    "Unsupported quantization scale size": lambda v: v.runtime_inputs > 0 and len(_scales(v, "input0")) > 1,
    "start_indices must be a runtime tensor": lambda v: v.is_const("input2"),
    "operand dims must be 1D-4D.": _outside_4d("input0"),
    "update dims must be 1D-4D.": _outside_4d("input1"),
    "start_indices dims must be 1D-4D.": _outside_4d("input2"),
    "output dims must be 1D-4D.": _outside_4d("output0"),
    "EMBEDDING_LOOKUP: Empty quantization params.": lambda v: (
        v.dtype("input1") in ("INT8", "INT4", "INT2") and not _has_scales(v, "input1")
    ),
    "EMBEDDING_LOOKUP: Unsupported weights type.": lambda v: (
        v.dtype("input1") not in ("INT8", "INT4", "INT2", "FLOAT32")
    ),
    "Unsupported fully connected weights format.": lambda v: v.option("weights_format") != "DEFAULT",
    "Input / output dtype mismatch.": lambda v: v.dtype("input0") != v.dtype("output0"),
    "Paddings tensor has unexpected shape.": lambda v: _dims(v, "input1") not in ((4, 2), (3, 2)),
    "OneHot axis must be -1 or the last dimension.": _one_hot_axis,
    "OneHot indices channel dimension must be 1.": lambda v: (
        len(_dims(v, "input0")) >= 4 and _dims(v, "input0")[3] != 1
    ),
    "Linear alpha shape does not match the number of input channels.": _prelu_linear,
    "Alpha shape does not match input shape.": _prelu_full,
    "Encountered Quantize output with no quant params": lambda v: not _has_scales(v, "output0"),
    "If half_pixel_centers is True, align_corners must be False.": lambda v: (
        v.op.kind == "RESIZE_BILINEAR" and bool(v.option("half_pixel_centers")) and bool(v.option("align_corners"))
    ),
    "Constant input is not supported.": lambda v: v.is_const("input0"),
    "Slicing starts count must be 3 or 4 for 4d input": _slice_count(4, (3, 4)),
    "Slicing starts count must be 3 for 3d input": _slice_count(3, (3,)),
    "Slicing starts count must be 2 for 2d input": _slice_count(2, (2,)),
    "Slicing starts count must be 1 for 1d input": _slice_count(1, (1,)),
    "Slicing is unsupported for input with rank > 4": lambda v: len(_dims(v, "input0")) > 4,
    "Output batch don't match": _slice_output(0),
    "Output height doesn't match": _slice_output(1),
    "Output width doesn't match": _slice_output(2),
    "Output channels don't match": _slice_output(3),
    "Softmax.beta != 1 is not supported.": lambda v: v.option("beta") != 1.0,
    "Only supports 1D-4D input tensor.": _outside_4d("input0"),
    "Only supports 1D-4D output tensor.": _outside_4d("output0"),
    "Output shape mismatch": output_mismatch,
    "STRIDED_SLICE input/params dimensions mismatch.": lambda v: len(_dims(v, "input0")) - _starts(v) not in (0, 1),
    "stride values must be non-zero": lambda v: bool(np.any(_strides(v) == 0)),
    "Reverse slices are not supported.": lambda v: bool(np.any(_strides(v) < 0)),
    "src has no data.": lambda v: not v.is_const("input1"),
    "TopK k must be constant tensor.": lambda v: not v.is_const("input1"),
    "TopK k must be scalar.": lambda v: int(np.prod(_dims(v, "input1"))) != 1,
    "TopK requires 2 output tensors": lambda v: len(v.outputs) != 2,
    "Permutation for transpose is invalid.": _permutation,
}
"""Messages of the LiteRT GPU accelerator (ML Drift)."""

NEVER_RAISED: dict[str, str] = {
    "Incorrect operation type passed": "an internal error: the parser is only made for operators it knows",
    "Unsupported sampling type.": "an internal error: the parser is only made for two samplings",
    "Expected int8 weights for raw weights propagation.": "only with an option that is off by default",
    "Expected height and width of 1 for quantized weights.": "only with an option that is off by default",
}
"""Messages that a well-formed file with default options does not meet, and why."""

_OF_TWO_ARGUMENTS = (
    "Applies only two input tensors",
    "No support of few identical inputs in the same operation.",
    "Inputs dimensions sizes don't match, broadcasting isn't applicable.",
    "Can't parse inputs with const tensors.",
)
_ONE_ARGUMENT = (
    *("ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "LOG", "LOGICAL_NOT", "LOGISTIC", "NEG", "ROUND", "RSQRT"),
    *("SIGN", "SIN", "SQRT", "SQUARE", "TANH"),
)


def unreachable(kind: str, message: str) -> bool:
    """Whether an operator cannot run into a message that its parser shares with others (model_builder.cc:2258-2325)."""
    if message not in _OF_TWO_ARGUMENTS:
        return kind == "RESIZE_NEAREST_NEIGHBOR" and message.startswith("If half_pixel_centers")
    may_repeat = message == _OF_TWO_ARGUMENTS[1] and kind in _MULTIPLY_OR_ADD
    return kind in _ONE_ARGUMENT or may_repeat


def _scales(v: OpView, reference: str) -> tuple[float, ...]:
    tensor = v.tensor(reference)
    return () if tensor is None else tuple(tensor.scales)


def _has_scales(v: OpView, reference: str) -> bool:
    return len(_scales(v, reference)) > 0


def _readers(v: OpView) -> list[TfliteOp]:
    """Operators that read the first output."""
    return [op for op in v.graph.ops if any(made in op.inputs for made in v.op.outputs[:1])]


def _comparison_left_dangling(v: OpView) -> bool:
    consumers = _readers(v)
    if len(consumers) != 1 or consumers[0].kind not in _COMPARISONS_CONSUMED_BY:
        return True
    return any(v.graph.tensors[made].dtype not in _FLOATS for made in consumers[0].outputs[:1])


def _bool_cast(v: OpView) -> bool:
    if v.dtype("input0") != "BOOL" or v.dtype("output0") not in _FLOATS:
        return False
    source = v.op.inputs[0]
    producers = [op.kind for op in v.graph.ops if source in op.outputs]
    consumers = [op for op in v.graph.ops if source in op.inputs]
    return (
        producers != [p for p in producers if p in _LOGICAL]
        or len(producers) != 1
        or len(consumers) != 1
        or source in v.graph.outputs
    )


def _grouped(v: OpView) -> bool:
    return _dims(v, "input0")[-1:] != _dims(v, "input1")[-1:]


def _bad_slice(v: OpView) -> bool:
    starts, sizes = v.values("input1"), v.values("input2")
    return starts is None or sizes is None or starts.size != sizes.size or starts.size not in (3, 4)


CLASSIC_LIMITS: dict[int, Broken] = {
    341: lambda v: v.is_const("input1") and len(_dims(v, "input1")) != 2,
    385: _bool_cast,
    607: _no_concat_axis,
    641: lambda v: not v.is_const("input1") and _grouped(v),
    896: lambda v: not any(t is not None and t.is_sparse for t in v.inputs),
    1073: _comparison_left_dangling,
    1141: _identical_inputs,
    1359: lambda v: v.shape("input1") is not None and _dims(v, "input0")[-1:] != _dims(v, "input1")[-1:],
    1531: lambda v: len(v.inputs) not in (5, 20, 24),
    1717: lambda v: _prelu_linear(v) or _prelu_full(v),
    2231: _bad_slice,
    2522: lambda v: v.values("input3") is None or bool(np.any(_strides(v) <= 0)),
    2808: _permutation,
}
"""Limits of the classic delegate by the line that states them in its ``model_builder.cc``."""
