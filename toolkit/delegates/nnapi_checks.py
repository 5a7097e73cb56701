"""What each kind of check in the NNAPI table means. A check answers True when the operator passes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.delegates.op_view import QUANTIZED, OpView


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The NNAPI runtime asked for.

    Attributes:
        level: feature level, 27 to 31 or 1000006 to 1000008.
        accelerator: True when the delegate picks a device by itself (its default from level 29 on).
    """

    level: int
    accelerator: bool


Check = dict[str, Any]
Interpreter = Callable[[Check, OpView, Target], bool]

_INT32 = np.iinfo(np.int32)


def compare(value: int, operator: str, limit: int | list[int]) -> bool:
    """``value operator limit`` for the operators the tables use."""
    if operator == "in":
        return value in limit  # type: ignore[operator]
    return {
        "==": value == limit,
        "!=": value != limit,
        "<=": value <= limit,
        ">=": value >= limit,
        "<": value < limit,
        ">": value > limit,
    }[operator]  # type: ignore[operator]


def holds(when: dict[str, Any] | None, view: OpView, target: Target) -> bool:
    """Whether the condition under which a check applies is met.

    Raises:
        KeyError: the table uses a condition this function does not know.
    """
    tests: dict[str, Callable[[Any], bool]] = {
        "sdk_ge": lambda v: target.level >= v,
        "sdk_lt": lambda v: target.level < v,
        "sdk_le": lambda v: target.level <= v,
        "sdk_eq": lambda v: target.level == v,
        "accelerator": lambda v: target.accelerator == v,
        "input0_type_in": lambda v: view.dtype("input0") in v,
        "input0_const": lambda v: view.is_const("input0") == v,
        "n_inputs_eq": lambda v: len(view.inputs) == v,
        "n_inputs_ne": lambda v: len(view.inputs) != v,
        "n_inputs_ge": lambda v: len(view.inputs) >= v,
        "option_eq": lambda v: view.option(v[0]) == v[1],
    }
    return all(tests[name](value) for name, value in (when or {}).items())


def _rank(view: OpView, reference: str) -> int | None:
    shape = view.shape(reference)
    return None if shape is None else len(shape)


def _ranks(c: Check, v: OpView, _: Target) -> bool:
    ranks = [_rank(v, t) for t in c["tensors"]]
    return all(r is None or compare(r, c["op"], c["value"]) for r in ranks)


def _scale(view: OpView, reference: str) -> float:
    tensor = view.tensor(reference)
    return float(tensor.scales[0]) if tensor is not None and len(tensor.scales) else 0.0


def _zero_point(view: OpView, reference: str) -> int:
    tensor = view.tensor(reference)
    return int(tensor.zero_points[0]) if tensor is not None and len(tensor.zero_points) else 0


def _not_hybrid(_: Check, v: OpView, __: Target) -> bool:
    weights = "input2" if v.op.kind.endswith("LSTM") else "input1"
    return not (v.dtype("input0") == "FLOAT32" and v.dtype(weights) in QUANTIZED)


def _axis_not_last(c: Check, v: OpView, _: Target) -> bool:
    axis, rank = v.option("axis"), _rank(v, "input0") or 0
    return axis not in ((-1, rank) if c["mode"] == "pack" else (-1, rank - 1))


def _fits_int32(values: np.ndarray | None) -> bool:
    return values is not None and bool(np.all((values >= _INT32.min) & (values <= _INT32.max)))


def _axis_int32(c: Check, v: OpView, _: Target) -> bool:
    kind = v.dtype(c["tensor"])
    return kind == "INT32" or (kind == "INT64" and _fits_int32(v.values(c["tensor"])))


def _const_if_scalar(c: Check, v: OpView, _: Target) -> bool:
    def scalar(reference: str) -> bool:
        shape = v.shape(reference)
        return shape is not None and (shape == () or shape == (1,))

    return all(v.is_const(t) or not scalar(t) for t in c["tensors"])


def _const_type(c: Check, v: OpView, _: Target) -> bool:
    right_rank = "rank" not in c or _rank(v, c["tensor"]) == c["rank"]
    return v.is_const(c["tensor"]) and v.dtype(c["tensor"]) in c["types"] and right_rank


def _crops_zero(c: Check, v: OpView, _: Target) -> bool:
    crops = v.values(c["tensor"])
    return crops is not None and crops.size == 4 and not np.any(crops)


def _fill_dims(_: Check, v: OpView, __: Target) -> bool:
    dims = v.values("input0")
    return dims is not None and dims.size > 0 and _fits_int32(dims)


def _same_batch(_: Check, v: OpView, __: Target) -> bool:
    left, right = v.shape("input0"), v.shape("input1")
    return left is not None and right is not None and len(left) == len(right) and left[:-2] == right[:-2]


def _no_dilation(_: Check, v: OpView, __: Target) -> bool:
    return v.option("dilation_w_factor") == 1 and v.option("dilation_h_factor") == 1


def _not_grouped(_: Check, v: OpView, __: Target) -> bool:
    data, weights = v.shape("input0"), v.shape("input1")
    return data is not None and weights is not None and data[-1:] == weights[-1:]


def _min_sdk_if_option(c: Check, v: OpView, t: Target) -> bool:
    applies = v.option(c["option"]) == c.get("equals", True)
    return not applies or t.level >= c["value"]


def _restricted_scales(_: Check, v: OpView, __: Target) -> bool:
    return _scale(v, "input0") * _scale(v, "input1") < _scale(v, "output0")


def _same_quant(_: Check, v: OpView, __: Target) -> bool:
    return len({(tuple(t.scales), tuple(t.zero_points)) for t in v.inputs if t is not None}) <= 1


def _quant_params(c: Check, v: OpView, _: Target) -> bool:
    return _scale(v, c["tensor"]) == c["scale"] and _zero_point(v, c["tensor"]) == c["zero_point"]


def _quant_params_any(c: Check, v: OpView, _: Target) -> bool:
    return _scale(v, c["tensor"]) == c["scale"] or _zero_point(v, c["tensor"]) == c["zero_point"]


def _nonempty_option(name: str) -> Interpreter:
    return lambda _, v, __: len(v.option(name)) > 0


def _square_output(_: Check, v: OpView, __: Target) -> bool:
    shape = v.shape("output0") or ()
    return len(shape) == 4 and shape[1] == shape[2]


def _pool_window(c: Check, v: OpView, _: Target) -> bool:
    return int(v.option("filter_width")) * int(v.option("filter_height")) <= c["value"]


def _type_min_sdk(c: Check, v: OpView, t: Target) -> bool:
    needed = c["map"].get(v.dtype(c["tensor"]))
    return needed is not None and t.level >= needed


def _int64_const_fits(c: Check, v: OpView, _: Target) -> bool:
    return v.dtype(c["tensor"]) != "INT64" or not v.is_const(c["tensor"]) or _fits_int32(v.values(c["tensor"]))


def _split_sizes(_: Check, v: OpView, __: Target) -> bool:
    sizes = v.values("input1")
    return sizes is not None and bool(np.all(sizes != 0))


INTERPRETERS: dict[str, Interpreter] = {
    "accept_if": lambda c, v, t: True,
    "reject": lambda c, v, t: False,
    "axis_int32_or_const_int64": _axis_int32,
    "axis_not_last": _axis_not_last,
    "const": lambda c, v, t: all(v.is_const(name) for name in c["tensors"]),
    "const_if_scalar": _const_if_scalar,
    "const_type": _const_type,
    "crops_zero": _crops_zero,
    "fill_dims": _fill_dims,
    "int64_const_fits": _int64_const_fits,
    "max_op_version": lambda c, v, t: v.op.version <= c["value"],
    "min_sdk": lambda c, v, t: t.level >= c["value"],
    "min_sdk_if_option": _min_sdk_if_option,
    "n_inputs": lambda c, v, t: compare(len(v.inputs), c["op"], c["value"]),
    "no_batch_broadcast": _same_batch,
    "no_dilation": _no_dilation,
    "no_zero_dims": lambda c, v, t: 0 not in (v.shape(c["tensor"]) or ()),
    "not_grouped": _not_grouped,
    "not_hybrid": _not_hybrid,
    "option_eq": lambda c, v, t: v.option(c["option"]) == c["value"],
    "option_ne": lambda c, v, t: v.option(c["option"]) != c["value"],
    "per_tensor_weights": lambda c, v, t: len(getattr(v.tensor(c["tensor"]), "scales", ())) <= 1,
    "pool_window_le": _pool_window,
    "quant_params": _quant_params,
    "quant_params_any": _quant_params_any,
    "rank": _ranks,
    "reshape_not_scalar": _nonempty_option("new_shape"),
    "restricted_scales": _restricted_scales,
    "same_quant_all_inputs": _same_quant,
    "same_shape": lambda c, v, t: len({v.shape(name) for name in c["tensors"]}) == 1,
    "same_type": lambda c, v, t: len({v.dtype(name) for name in c["tensors"]}) == 1,
    "scale_positive": lambda c, v, t: _scale(v, c["tensor"]) > 0,
    "split_sizes_nonzero": _split_sizes,
    "square_output": _square_output,
    "squeeze_dims_nonempty": _nonempty_option("squeeze_dims"),
    "type_in": lambda c, v, t: v.dtype(c["tensor"]) in c["types"],
    "type_min_sdk": _type_min_sdk,
    "type_not": lambda c, v, t: v.dtype(c["tensor"]) not in c["types"],
    "zero_point_zero": lambda c, v, t: _zero_point(v, c["tensor"]) == 0,
}
"""Every kind of check the table uses; a kind that is not here is an error, never a pass."""
