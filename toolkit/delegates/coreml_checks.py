"""What each kind of check in the Core ML table means. True when the operator passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolkit.delegates.nnapi_checks import compare
from toolkit.delegates.op_view import OpView

Check = dict[str, Any]
Interpreter = Callable[[Check, OpView, int], bool]
"""Takes the check, the operator and the version of Core ML."""


def holds(when: dict[str, Any] | None, view: OpView) -> bool:
    """Whether the condition under which a check applies is met.

    Raises:
        KeyError: the table uses a condition this function does not know.
    """
    count = len(view.inputs)
    tests: dict[str, Callable[[Any], bool]] = {"n_inputs_ge": lambda v: count >= v, "n_inputs_eq": lambda v: count == v}
    return all(tests[name](value) for name, value in (when or {}).items())


def _spread(view: OpView, reference: str) -> tuple[int, ...]:
    """A shape of rank 4 at most, filled up with ones in front."""
    shape = view.shape(reference) or ()
    return (*(1 for _ in range(4 - len(shape))), *shape)


def _one_value(view: OpView, reference: str) -> bool:
    found = view.values(reference)
    return found is not None and found.size == 1


def _same_batch(_: Check, v: OpView, __: int) -> bool:
    same = _spread(v, "input0")[:1] == _spread(v, "input1")[:1]
    return same or _one_value(v, "input0") or _one_value(v, "input1")


def _plane(_: Check, v: OpView, __: int) -> bool:
    left, right = _spread(v, "input0")[1:3], _spread(v, "input1")[1:3]
    return left == right or (1, 1) in (left, right)


def _channels(_: Check, v: OpView, __: int) -> bool:
    left, right = _spread(v, "input0")[3:4], _spread(v, "input1")[3:4]
    return left == right or (1,) in (left, right)


def _float_operands(c: Check, v: OpView, _: int) -> bool:
    return all(v.dtype(t) == "FLOAT32" or (v.dtype(t) == "FLOAT16" and v.is_const(t)) for t in c["tensors"])


def _ranks(c: Check, v: OpView, _: int) -> bool:
    return all(compare(len(v.shape(t) or ()), c["op"], c["value"]) for t in c["tensors"])


def _axis_is_last(_: Check, v: OpView, __: int) -> bool:
    return v.option("axis") in (-1, len(v.shape("input0") or ()) - 1)


def _kernel(c: Check, v: OpView, _: int) -> bool:
    return all(size <= c["value"] for size in (v.shape(c["tensor"]) or ())[1:3])


def _const_type(c: Check, v: OpView, _: int) -> bool:
    if c.get("optional") and v.tensor(c["tensor"]) is None:
        return True
    return v.is_const(c["tensor"]) and v.dtype(c["tensor"]) in c["types"]


def _single_batch(_: Check, v: OpView, __: int) -> bool:
    return all(size == 1 for size in (v.shape("input0") or ())[:-1])


def _no_padding(c: Check, v: OpView, _: int) -> bool:
    paddings = v.values("input1")
    return paddings is not None and paddings.size == 8 and not paddings.reshape(4, 2)[c["axis"]].any()


def _axes(c: Check, v: OpView, _: int) -> bool:
    axes = v.values(c["tensor"])
    return axes is not None and all((int(axis) + 4) % 4 in c["value"] for axis in axes.flat)


def _shape_vector(_: Check, v: OpView, __: int) -> bool:
    return v.dtype("input1") == "INT32" and v.shape("input1") in ((3,), (4,))


INTERPRETERS: dict[str, Interpreter] = {
    "axes_in": _axes,
    "axis_is_last": _axis_is_last,
    "channel_broadcast": _channels,
    "const": lambda c, v, n: all(v.is_const(t) for t in c["tensors"]),
    "const_type": _const_type,
    "coreml_version_lt": lambda c, v, n: n < c["value"],
    "float_data": lambda c, v, n: v.dtype(c["tensor"]) in c["types"],
    "float_operands": _float_operands,
    "kernel_le": _kernel,
    "max_op_version": lambda c, v, n: v.op.version <= c["value"],
    "n_inputs": lambda c, v, n: compare(len(v.inputs), c["op"], c["value"]),
    "new_rank_in": lambda c, v, n: len(v.option("new_shape")) in c["value"],
    "no_padding": _no_padding,
    "option_eq": lambda c, v, n: v.option(c["option"]) == c["value"],
    "option_ne": lambda c, v, n: v.option(c["option"]) != c["value"],
    "plane_broadcast": _plane,
    "rank": _ranks,
    "same_batch_or_scalar_constant": _same_batch,
    "shape_is": lambda c, v, n: list(v.shape(c["tensor"]) or ()) == c["value"],
    "shape_vector": _shape_vector,
    "single_batch": _single_batch,
}
"""Every kind of check the table uses; a kind that is not here is an error, never a pass."""
