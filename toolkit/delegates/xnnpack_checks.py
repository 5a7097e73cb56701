"""What each kind of check in the XNNPACK table means. True when the operator passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from converters.tflite_graph.read import TfliteTensor
from toolkit.delegates.op_view import QUANTIZED, OpView

Check = dict[str, Any]
Interpreter = Callable[[Check, OpView], bool]

_FLOATS = ("FLOAT32", "FLOAT16")
_TYPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "float": (_FLOATS, ()),
    "float_or_q8": (_FLOATS, QUANTIZED),
    "float32_or_q8": (("FLOAT32",), QUANTIZED),
    "float_or_qs8": (_FLOATS, ("INT8",)),
    "q8": ((), QUANTIZED),
    "int32": (("INT32",), ()),
    "int32_or_int64": (("INT32", "INT64"), ()),
}
"""Name of a set of types to its members: plain ones, and those that need one scale for the whole tensor."""
UNPACKED_BY = ("DEQUANTIZE", "DENSIFY")
_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def tensors(view: OpView, reference: str) -> list[TfliteTensor | None]:
    """The tensor behind ``input0``, or all behind ``inputs`` or ``outputs``."""
    if reference == "inputs":
        return list(view.inputs)
    return list(view.outputs) if reference == "outputs" else [view.tensor(reference)]


def _dims(view: OpView, reference: str) -> tuple[int, ...]:
    return view.shape(reference) or ()


def _one_scale(tensor: TfliteTensor) -> bool:
    return len(tensor.scales) == len(tensor.zero_points) == 1 and tensor.quantized_dimension == 0


def _typed(c: Check, v: OpView) -> bool:
    plain, scaled = _TYPES[c["of"]]
    found = tensors(v, c["tensor"])
    return all(t is not None and (t.dtype in plain or (t.dtype in scaled and _one_scale(t))) for t in found)


def is_constant(view: OpView, reference: str, *, unpacked: bool) -> bool:
    """Whether a tensor is stored in the file, or unpacked once from one that is."""
    side = view.op.inputs
    index = int(reference.removeprefix("input"))
    if view.is_const(reference):
        return True
    if not unpacked or index >= len(side):
        return False
    found = {side[index]}
    for _ in UNPACKED_BY:  # sparse float16 constants are unpacked twice: DENSIFY, then DEQUANTIZE
        makers = [op for op in view.graph.ops if found & set(op.outputs) and op.kind in UNPACKED_BY]
        found = {op.inputs[0] for op in makers if op.inputs and op.inputs[0] >= 0}
        if any(view.graph.tensors[i].data is not None for i in found):
            return True
    return False


def _rank(c: Check, v: OpView) -> bool:
    shape = v.shape(c["tensor"])
    return shape is not None and c["least"] <= len(shape) <= c["most"] and all(size > 0 for size in shape)


def _weights(c: Check, v: OpView) -> bool:
    tensor = v.tensor(c["tensor"])
    if tensor is None or tensor.dtype in _FLOATS:
        return tensor is not None
    if tensor.dtype == "UINT8":
        return _one_scale(tensor)
    dimension = c["dimension"]
    if dimension == "columns":
        dimension = len(tensor.shape) - (2 if v.option("adj_y") else 1)
    right = len(tensor.scales) == 1 or tensor.quantized_dimension == dimension
    return tensor.dtype in ("INT8", "INT4") and len(tensor.scales) > 0 and right and _usable_scales(tensor)


def _usable_scales(tensor: TfliteTensor) -> bool:
    return all(_SMALLEST_NORMAL <= scale < math.inf for scale in tensor.scales)


def _bias(c: Check, v: OpView) -> bool:
    tensor = v.tensor(c["tensor"])
    if tensor is None:
        return bool(c["optional"])
    scaled = tensor.dtype == "INT32" and len(tensor.scales) > 0 and tensor.quantized_dimension == 0
    return tensor.dtype in _FLOATS or (scaled and _usable_scales(tensor))


def _effective_type(view: OpView, reference: str) -> str | None:
    """Type of a tensor; float16 where a DEQUANTIZE of float16 weights stands before it and only feeds weights."""
    index = int(reference.removeprefix("input"))
    number = view.op.inputs[index] if index < len(view.op.inputs) else -1
    for op in view.graph.ops:
        if number >= 0 and op.kind == "DEQUANTIZE" and number in op.outputs and op.inputs and op.inputs[0] >= 0:
            return view.graph.tensors[op.inputs[0]].dtype if _feeds_weights(view, number) else "FLOAT32"
    return view.dtype(reference)


def _feeds_weights(view: OpView, number: int) -> bool:
    readers = [op for op in view.graph.ops if number in op.inputs]
    kinds = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")
    return all(op.kind in kinds and op.inputs[0] != number for op in readers)


def _filter_and_bias(c: Check, v: OpView) -> bool:
    weights, bias = _effective_type(v, c["filter"]), _effective_type(v, c["bias"])
    if v.tensor(c["bias"]) is None or weights not in _FLOATS:
        return True
    return bias == weights or (weights == "FLOAT16" and bias == "FLOAT32")


def _data_and_weights(c: Check, v: OpView) -> bool:
    data, weights = v.dtype(c["data"]), v.dtype(c["weights"])
    dynamic = c["dynamic"] and data == "FLOAT32" and weights in ("INT8", "INT4")
    return data == weights or dynamic or (data == "INT8" and weights == "INT4")


def _scales(view: OpView, *references: str) -> list[float] | None:
    """Scales of tensors that are all of one 8-bit type; None when they are not, and no scale matters."""
    found = [view.tensor(reference) for reference in references]
    kinds = {None if t is None else t.dtype for t in found}
    if len(kinds) != 1 or kinds.isdisjoint(QUANTIZED):
        return None
    return [float(np.float32(t.scales[0])) if t is not None and t.scales else math.nan for t in found]


def _divided(left: float, right: float) -> float:
    return left / right if right else math.copysign(math.inf, left) if left else math.nan


def _scale_ratio(c: Check, v: OpView) -> bool:
    found = _scales(v, c["tensor"], "output0")
    if found is None:
        return True
    ratio = _divided(*found)
    return not (ratio < c["least"] or ratio > c["most"] or (c["open"] and ratio == c["most"]))


def _product_scale(c: Check, v: OpView) -> bool:
    found = _scales(v, "input0", "input1", "output0")
    if found is None:
        return True
    ratio = _divided(found[0] * found[1], found[2])
    return not (ratio < c["least"] or ratio >= c["most"])


def _leaky_ratio(view: OpView) -> float | None:
    source, target = view.tensor("input0"), view.tensor("output0")
    pair = [
        t.scales[0] if t is not None and t.dtype in QUANTIZED and _one_scale(t) else math.nan for t in (source, target)
    ]
    normal = all(math.isfinite(scale) and abs(scale) >= _SMALLEST_NORMAL for scale in pair)
    return pair[0] / pair[1] if normal else None


def _leaky_positive(c: Check, v: OpView) -> bool:
    ratio = _leaky_ratio(v)
    return ratio is None or c["least"] <= ratio <= c["most"]


def _leaky_negative(c: Check, v: OpView) -> bool:
    ratio = _leaky_ratio(v)
    if ratio is None:
        return True
    negative = ratio * float(v.option("alpha"))
    return c["least"] <= negative <= c["most"] and abs(negative) >= c["away"]


def _alpha(_: Check, v: OpView) -> bool:
    alpha = float(v.option("alpha"))
    return math.isfinite(alpha) and abs(alpha) >= _SMALLEST_NORMAL


def _quantize_pair(_: Check, v: OpView) -> bool:
    return v.dtype("input0") in _FLOATS or v.dtype("input0") == v.dtype("output0")


def _same_quant(c: Check, v: OpView) -> bool:
    target = v.tensor("output0")
    if target is None or target.dtype not in c["types"]:
        return True
    wanted = (target.scales[:1], target.zero_points[:1])
    sources = v.inputs if v.op.kind == "CONCATENATION" else v.inputs[:1]
    return all(t is not None and (t.scales[:1], t.zero_points[:1]) == wanted for t in sources)


def _matmul_zero_point(_: Check, v: OpView) -> bool:
    right = v.tensor("input1")
    static = right is not None and right.dtype == "INT8" and v.dtype("input0") != "FLOAT32"
    return not (static and right is not None and any(right.zero_points[:1]))


def _weights_zero_point(_: Check, v: OpView) -> bool:
    weights = v.tensor("input1")
    static = weights is not None and weights.dtype == "INT8" and v.dtype("input0") not in _FLOATS
    return not (static and weights is not None and len(weights.scales) == 1 and any(weights.zero_points[:1]))


def _vector(c: Check, v: OpView) -> bool:
    shape = v.shape(c["tensor"])
    if shape is None:
        return False
    return len(shape) == 1 or (c["squeeze"] and len(shape) > 1 and all(size == 1 for size in shape[:-1]))


def _every(c: Check, v: OpView, test: Callable[[np.ndarray], Any]) -> bool:
    found = v.integers(c["tensor"])
    return found is not None and bool(np.all(test(found)))


def _axes(_: Check, v: OpView) -> bool:
    axes = v.integers("input1")
    if axes is None or axes.size == 0:
        return False
    return not (axes.size == 1 and not axes.any() and _dims(v, "input0") == ())


def _bias_length(_: Check, v: OpView) -> bool:
    bias, rows = v.tensor("input2"), _dims(v, "input1")[:1]
    return bias is None or math.prod(bias.shape) == math.prod(rows)


def _groups(_: Check, v: OpView) -> bool:
    data, weights = _dims(v, "input0"), _dims(v, "input1")
    return data[-1:] >= weights[-1:]


def _depth_multiplier(_: Check, v: OpView) -> bool:
    return all(size % int(v.option("depth_multiplier")) == 0 for size in _dims(v, "input1")[-1:])


def _divisible(c: Check, v: OpView) -> bool:
    data = _dims(v, "input0")
    return len(data) == 4 and data[c["axis"]] % int(v.option("block_size")) == 0


def _stride_within_window(_: Check, v: OpView) -> bool:
    return v.option("stride_w") <= v.option("filter_width") and v.option("stride_h") <= v.option("filter_height")


def _window_of_one(_: Check, v: OpView) -> bool:
    one = v.option("filter_width") == v.option("filter_height") == 1
    return not (one and max(v.option("stride_w"), v.option("stride_h")) > 1)


def _paddings_shape(_: Check, v: OpView) -> bool:
    return v.shape("input1") == (len(_dims(v, "input0")), 2)


def _not_scalar_reshape(_: Check, v: OpView) -> bool:
    shape = v.integers("input1") if len(v.inputs) > 1 else np.asarray(v.option("new_shape"), np.int64)
    return shape is None or not (shape.size == 1 and int(shape.flat[0]) in (0, -1))


def _planes(view: OpView) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Output, kernel, input and stride of a transposed convolution along height and width."""
    made = view.integers("input0")
    output = tuple(int(size) for size in made.flat)[1:3] if made is not None else ()
    strides = (int(view.option("stride_h")), int(view.option("stride_w")))
    return output, _dims(view, "input1")[1:3], _dims(view, "input2")[1:3], strides


def _kernel_within_output(_: Check, v: OpView) -> bool:
    output, kernel, _input, _strides = _planes(v)
    return v.option("padding") != "VALID" or all(k <= o for k, o in zip(kernel, output, strict=False))


def _expected_input(_: Check, v: OpView) -> bool:
    output, _kernel, found, strides = _planes(v)
    if v.option("padding") != "SAME":
        return True
    return all(s > 0 and -(-o // s) == i for o, i, s in zip(output, found, strides, strict=False))


def _kernel_covers_stride(_: Check, v: OpView) -> bool:
    _output, kernel, _input, strides = _planes(v)
    return v.option("padding") != "SAME" or all(k >= s for k, s in zip(kernel, strides, strict=False))


def _output_channels(_: Check, v: OpView) -> bool:
    made = v.integers("input0")
    return made is not None and made.size == 4 and _dims(v, "input1")[:1] == (int(made.flat[3]),)


def _variable_made_here(_: Check, v: OpView) -> bool:
    makers = [op for op in v.graph.ops if op.kind == "VAR_HANDLE" and set(op.outputs) & set(v.op.inputs[:1])]
    values = [_variable_value(v, op) for op in v.graph.ops if set(op.inputs[:1]) & set(v.op.inputs[:1])]
    return bool(makers) and len(set(values)) == 1


def _variable_value(view: OpView, op: Any) -> tuple[Any, ...]:
    side = op.inputs[1:2] if op.kind == "ASSIGN_VARIABLE" else op.outputs[:1]
    return tuple((view.graph.tensors[i].shape, view.graph.tensors[i].dtype) for i in side if i >= 0)


def _variable_used_here(_: Check, v: OpView) -> bool:
    accessors = ("READ_VARIABLE", "ASSIGN_VARIABLE")
    return any(op.kind in accessors and set(op.inputs[:1]) & set(v.op.outputs[:1]) for op in v.graph.ops)


def _name_in(c: Check, v: OpView) -> bool:
    return (v.option("name") if v.op.kind == "STABLEHLO_COMPOSITE" else v.op.custom_code) in c["names"]


INTERPRETERS: dict[str, Interpreter] = {
    "activation": lambda c, v: v.option("fused_activation_function") in c["values"],
    "all_ones": lambda c, v: _every(c, v, lambda found: found == 1),
    "all_positive": lambda c, v: _every(c, v, lambda found: found > 0),
    "alpha": _alpha,
    "axes": _axes,
    "axis_within_rank": lambda c, v: all(t is not None and v.option("axis") < len(t.shape) for t in v.inputs),
    "bias": _bias,
    "bias_length": _bias_length,
    "const": lambda c, v: is_constant(v, c["tensor"], unpacked=c["unpacked"]),
    "data_and_weights": _data_and_weights,
    "depth_multiplier": _depth_multiplier,
    "divisible": _divisible,
    "expected_input": _expected_input,
    "filter_and_bias": _filter_and_bias,
    "first_positive": lambda c, v: _every(c, v, lambda found: found.reshape(-1)[:1] > 0),
    "float32": lambda c, v: v.dtype(c["tensor"]) == "FLOAT32",
    "groups": _groups,
    "input_channels": lambda c, v: _dims(v, "input1")[3:] == _dims(v, "input2")[3:],
    "kernel_covers_stride": _kernel_covers_stride,
    "kernel_within_output": _kernel_within_output,
    "leaky_negative": _leaky_negative,
    "leaky_positive": _leaky_positive,
    "length_is": lambda c, v: v.shape(c["tensor"]) == (c["value"],),
    "matmul_zero_point": _matmul_zero_point,
    "n_inputs": lambda c, v: c["least"] <= len(v.inputs) <= c["most"],
    "n_outputs": lambda c, v: c["least"] <= len(v.outputs) <= c["most"],
    "name_in": _name_in,
    "none_negative": lambda c, v: _every(c, v, lambda found: found >= 0),
    "not_scalar_reshape": _not_scalar_reshape,
    "not_version": lambda c, v: v.op.version != c["value"],
    "one_for_each_dimension": lambda c, v: v.shape(c["tensor"]) == (len(_dims(v, "input0")),),
    "option_eq": lambda c, v: v.option(c["option"]) == c["value"],
    "option_gt": lambda c, v: v.option(c["option"]) > c["value"],
    "output_channels": _output_channels,
    "padding": lambda c, v: v.option("padding") in c["values"],
    "paddings_shape": _paddings_shape,
    "positive": lambda c, v: all(v.option(name) > 0 for name in c["options"]),
    "present": lambda c, v: v.tensor(c["tensor"]) is not None,
    "product_scale": _product_scale,
    "quantize_pair": _quantize_pair,
    "rank": _rank,
    "rank_at_least": lambda c, v: len(_dims(v, c["tensor"])) >= c["least"],
    "rank_at_most": lambda c, v: len(_dims(v, c["tensor"])) <= c["most"],
    "reject": lambda c, v: False,
    "same_length": lambda c, v: len({_dims(v, name)[:1] for name in c["tensors"]}) == 1,
    "same_quant": _same_quant,
    "same_type": lambda c, v: len({v.dtype(name) for name in c["tensors"]}) == 1,
    "scale_ratio": _scale_ratio,
    "size_at_most": lambda c, v: math.prod(_dims(v, c["tensor"])) <= c["most"],
    "splits": lambda c, v: v.option("num_splits") == len(v.outputs),
    "stride_within_window": _stride_within_window,
    "types": _typed,
    "variable_made_here": _variable_made_here,
    "variable_used_here": _variable_used_here,
    "vector": _vector,
    "weights": _weights,
    "weights_zero_point": _weights_zero_point,
    "window_of_one": _window_of_one,
}
"""Every kind of check the table uses; a kind that is not here is an error, never a pass."""
