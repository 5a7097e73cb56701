"""What each kind of check in the GPU tables' compatibility layer means. True when the operator passes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from toolkit.delegates.nnapi_checks import compare
from toolkit.delegates.op_view import OpView

Check = dict[str, Any]
Interpreter = Callable[[Check, OpView, bool], bool]
"""Takes the check, the operator and whether the delegate broadcasts as numpy does."""

_LSTM_FULL_INPUTS = (20, 24)


def broadcastable(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    """Whether numpy would broadcast the two shapes."""
    pairs = zip(reversed(left), reversed(right), strict=False)
    return all(a == b or 1 in (a, b) for a, b in pairs)


def _dims(view: OpView, reference: str) -> tuple[int, ...]:
    return view.shape(reference) or ()


def _runtime_const_outputs(c: Check, v: OpView, _: bool) -> bool:
    found = (v.runtime_inputs, v.const_inputs, len(v.outputs))
    return found == (c["runtime_inputs"], c["const_inputs"], c["outputs"])


def _conv_inputs(_: Check, v: OpView, __: bool) -> bool:
    return 1 <= v.runtime_inputs <= 2 and len(v.outputs) == 1 and (v.runtime_inputs == 2 or len(v.inputs) > 1)


def _broadcast_add_mul(_: Check, v: OpView, enhanced: bool) -> bool:
    left, right = _dims(v, "input0"), _dims(v, "input1")
    if len(left) == len(right) or min(len(left), len(right)) <= 1:
        return True
    long, short = (left, right) if len(left) > len(right) else (right, left)
    if enhanced:
        return broadcastable(long, short)
    if len(long) != 4:
        return False
    if len(short) == 3:
        return long[0] == 1
    return (long[0] == 1 and short == (1, 1)) or short == (long[0], long[3])


def _select_condition(_: Check, v: OpView, __: bool) -> bool:
    condition, out = _dims(v, "input0"), _dims(v, "output0")
    offset = len(out) - len(condition)
    return offset >= 0 and all(a in (b, 1) for a, b in zip(condition, out[offset:], strict=True))


def _same_shape_or_scalar(c: Check, v: OpView, _: bool) -> bool:
    wanted = _dims(v, c["to"])
    return all(d in ((), (1,), (0,), wanted) for d in (_dims(v, t) for t in c["tensors"]))


def _same_dim(c: Check, v: OpView, _: bool) -> bool:
    def at(reference: str) -> int:
        name, axis = re.fullmatch(r"(\w+)\[(\d)\]", reference).groups()  # type: ignore[union-attr]
        return (*_dims(v, name), -1, -1, -1, -1)[int(axis)]

    return at(c["a"]) == at(c["b"])


def _depth_multiplier(_: Check, v: OpView, __: bool) -> bool:
    made, read = _dims(v, "output0")[-1:], _dims(v, "input0")[-1:]
    return made == tuple(size * int(v.option("depth_multiplier")) for size in read)


def _bias_size(_: Check, v: OpView, __: bool) -> bool:
    bias = v.shape("input2")
    return bias is None or bias[-1:] == _dims(v, "output0")[-1:]


def _bitcast_shape(_: Check, v: OpView, __: bool) -> bool:
    width = {"FLOAT32": 4, "INT32": 4, "UINT32": 4, "FLOAT16": 2, "INT16": 2, "UINT16": 2, "INT8": 1, "UINT8": 1}
    source, target = width.get(str(v.dtype("input0"))), width.get(str(v.dtype("output0")))
    if source is None or target is None:
        return False
    left, right = _dims(v, "input0"), _dims(v, "output0")
    if source == target:
        return left == right
    if source > target:
        return right == (*left, source // target)
    return left == (*right, target // source)


def _one_hot_axis(_: Check, v: OpView, __: bool) -> bool:
    dims = _dims(v, "input0")
    return v.option("axis") == -1 or (bool(dims) and v.option("axis") == dims[-1])


def _one_hot_singleton(_: Check, v: OpView, __: bool) -> bool:
    dims = _dims(v, "input0")
    return all(size == 1 for axis, size in enumerate(dims[:-1]) if not (len(dims) > 3 and axis == 0))


def _lstm(full: bool) -> Interpreter:
    """The two kernels an LSTM can have; the check of the other kernel does not apply."""

    def check(_: Check, v: OpView, __: bool) -> bool:
        if (len(v.inputs) in _LSTM_FULL_INPUTS) is not full:
            return True
        activation = v.option("fused_activation_function")
        if full:
            return len(v.outputs) == 1 and activation in ("SIGMOID", "TANH")
        depth = (_dims(v, "output0") or (0,))[-1]
        unclipped = not v.option("cell_clip") and not v.option("proj_clip")
        counts = (v.runtime_inputs, v.const_inputs, len(v.outputs)) == (3, 2, 4)
        return counts and depth % 4 == 0 and activation == "TANH" and unclipped

    return check


def _const_type(c: Check, v: OpView, _: bool) -> bool:
    return v.is_const(c["tensor"]) and v.dtype(c["tensor"]) in c["types"]


def _scalar(c: Check, v: OpView, _: bool) -> bool:
    return all(d in ((), (1,)) for d in (_dims(v, t) for t in c["tensors"]))


INTERPRETERS: dict[str, Interpreter] = {
    "activation_in": lambda c, v, e: v.option("fused_activation_function") in c["values"],
    "any_of": lambda c, v, e: any(INTERPRETERS[each["kind"]](each, v, e) for each in c["of"]),
    "bias_size": _bias_size,
    "bitcast_shape": _bitcast_shape,
    "broadcast_add_mul": _broadcast_add_mul,
    "builtin_data": lambda c, v, e: bool(v.op.options),
    "cast_pairs": lambda c, v, e: [v.dtype("input0"), v.dtype("output0")] in c["pairs"],
    "cond_broadcastable_to_output": _select_condition,
    "const_type": _const_type,
    "conv_inputs": _conv_inputs,
    "custom_name_in": lambda c, v, e: v.op.custom_code in c["values"],
    "depth_multiplier": _depth_multiplier,
    "lstm_basic": _lstm(full=False),
    "lstm_full": _lstm(full=True),
    "n_inputs": lambda c, v, e: len(v.inputs) == c["value"],
    "n_inputs_ge": lambda c, v, e: len(v.inputs) >= c["value"],
    "n_outputs": lambda c, v, e: len(v.outputs) == c["value"],
    "not_both": lambda c, v, e: not all(v.option(name) for name in c["options"]),
    "not_const": lambda c, v, e: not v.is_const(c["tensor"]),
    "one_hot_axis": _one_hot_axis,
    "one_hot_singleton": _one_hot_singleton,
    "option_eq": lambda c, v, e: v.option(c["option"]) == c["value"],
    "option_gt": lambda c, v, e: v.option(c["option"]) > c["value"],
    "pad_shape": lambda c, v, e: _dims(v, "input1") in ((4, 2), (3, 2)),
    "positive": lambda c, v, e: all(v.option(name) > 0 for name in c["options"]),
    "rank": lambda c, v, e: all(compare(len(_dims(v, t)), c["op"], c["value"]) for t in c["tensors"]),
    "rank2_only_if_const": lambda c, v, e: all(v.is_const(t) or len(_dims(v, t)) != 2 for t in c["tensors"]),
    "runtime_const_outputs": _runtime_const_outputs,
    "runtime_inputs_le": lambda c, v, e: v.runtime_inputs <= c["value"],
    "runtime_inputs_outputs": lambda c, v, e: (v.runtime_inputs, len(v.outputs)) == (c["runtime_inputs"], c["outputs"]),
    "same_dim": _same_dim,
    "same_rank": lambda c, v, e: len({len(_dims(v, t)) for t in c["tensors"]}) == 1,
    "same_rank_if": lambda c, v, e: not v.option(c["option"]) or len({len(_dims(v, t)) for t in c["tensors"]}) == 1,
    "same_shape_or_scalar": _same_shape_or_scalar,
    "same_trailing_dims": lambda c, v, e: len({_dims(v, t)[1:] for t in c["tensors"]}) == 1,
    "same_type": lambda c, v, e: len({v.dtype(t) for t in c["tensors"]}) == 1,
    "scalar": _scalar,
    "sizes": lambda c, v, e: _dims(v, "input1") == (len(_dims(v, "input0")),),
    "type_in": lambda c, v, e: v.dtype(c["tensor"]) in c["types"],
    "type_not": lambda c, v, e: v.dtype(c["tensor"]) not in c["types"],
}
"""Every kind of check the compatibility layer uses; a kind that is not here is an error, never a pass."""
