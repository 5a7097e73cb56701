"""Changes an example so that it breaks one check of a table and, as far as possible, no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tests.toolkit.delegates.op_examples import QUANTISED, SHAPE, Example, Slot

Check = dict[str, Any]
Spoil = Callable[[Check, Example], Example]

_NOBODYS_TYPE = "STRING"
_TOO_BIG = 2**40


def first(check: Check) -> str:
    """The first tensor a check names."""
    return check.get("tensor") or check["tensors"][0]


def version(check: Check, example: Example) -> Example:
    """One version more than the delegate knows."""
    return replace(example, version=check["value"] + 1)


def dtype(check: Check, example: Example) -> Example:
    """A type nobody takes, or one the check forbids."""
    wanted = check["types"][0] if check["kind"] == "type_not" else _NOBODYS_TYPE
    return example.with_tensor(first(check), dtype=wanted)


def computed(check: Check, example: Example) -> Example:
    """A constant becomes a tensor computed at run time."""
    return example.with_tensor(first(check), data=None)


def rank(check: Check, example: Example) -> Example:
    """A rank on the other side of the limit."""
    operator, value = check["op"], check["value"]
    wrong = {
        "<=": lambda: value + 1,
        ">=": lambda: value - 1,
        "==": lambda: value - 1,
        "!=": lambda: value,
        ">": lambda: value,
        "in": lambda: min(value) + 1 if min(value) + 1 not in value else min(value) - 1,
    }[operator]()
    return example.with_tensor(first(check), shape=(1,) * wrong)


def input_count(check: Check, example: Example) -> Example:
    """One input too few; one too many where the limit is a list."""
    if check.get("op") == "in":
        return replace(example, inputs=(*example.inputs, Slot()))
    if check["kind"] == "n_inputs" and check.get("op", "==") == "==" and len(example.inputs) == 1:
        return replace(example, inputs=(*example.inputs, Slot()))
    least = check["value"] if check.get("op") == ">" else check["value"] - 1
    return replace(example, inputs=example.inputs[:least])


def other_option(check: Check, example: Example) -> Example:
    """Another value of an option."""
    name, value = check["option"], check["value"]
    name = {"fused_activation": "fused_activation_function"}.get(name, name)
    if check["kind"] == "option_ne":
        return example.with_options(**{name: value})
    others = {"NONE": "RELU", "INT32": "INT64", "REFLECT": "SYMMETRIC", "DEFAULT": "SHUFFLED4x16INT8", 1.0: 2.0}
    other = not value if isinstance(value, bool) else others.get(value, 1)
    return example.with_options(**{name: other})


def set_option(check: Check, example: Example) -> Example:
    """The option that needs a newer level."""
    return example.with_options(**{check["option"]: check.get("equals", True)})


def _hybrid(check: Check, example: Example) -> Example:
    weights = "input2" if example.kind.endswith("LSTM") else "input1"
    return example.with_tensor("input0", dtype="FLOAT32").with_tensor(weights, dtype="INT8", scales=(0.5,))


def _other_quantisation(check: Check, example: Example) -> Example:
    return example.with_tensor(first(check), scales=(0.25,), zero_points=(3,))


def _shape(reference: str, *sizes: int) -> Spoil:
    return lambda _, example: example.with_tensor(reference, shape=sizes)


def _big_dims(check: Check, example: Example) -> Example:
    return example.with_tensor("input0", dtype="INT64", data=np.array([_TOO_BIG, 2]))


def _other_type(check: Check, example: Example) -> Example:
    second = check["tensors"][1]
    return example.with_tensor(second, dtype="INT8" if example.slot(second).dtype != "INT8" else "FLOAT32")


NNAPI: dict[str, Spoil] = {
    "axis_int32_or_const_int64": lambda c, e: e.with_tensor(c["tensor"], dtype="INT64", data=np.array([_TOO_BIG])),
    "axis_not_last": lambda c, e: e.with_options(axis=-1),
    "const": computed,
    "const_if_scalar": lambda c, e: e.with_tensor("input1", shape=(1,)),
    "const_type": dtype,
    "crops_zero": lambda c, e: e.with_tensor(c["tensor"], data=np.array([[0, 0], [0, 1]])),
    "fill_dims": _big_dims,
    "int64_const_fits": lambda c, e: e.with_tensor(c["tensor"], dtype="INT64", data=np.array(_TOO_BIG)),
    "max_op_version": version,
    "min_sdk_if_option": set_option,
    "n_inputs": input_count,
    "no_batch_broadcast": lambda c, e: e.with_tensor("input1", shape=(1, *e.inputs[1].shape[1:])),
    "no_dilation": lambda c, e: e.with_options(dilation_w_factor=2),
    "no_zero_dims": lambda c, e: e.with_tensor(c["tensor"], shape=(1, 0, 4, 8)),
    "not_grouped": _shape("input1", 8, 1, 1, 4),
    "not_hybrid": _hybrid,
    "option_eq": other_option,
    "option_ne": other_option,
    "per_tensor_weights": lambda c, e: e.with_tensor(c["tensor"], scales=(0.5,) * 8, zero_points=(0,) * 8),
    "pool_window_le": lambda c, e: e.with_options(filter_width=17, filter_height=17),
    "quant_params": _other_quantisation,
    "quant_params_any": _other_quantisation,
    "rank": rank,
    "reject": computed,
    "reshape_not_scalar": lambda c, e: e.with_options(new_shape=[]),
    "restricted_scales": lambda c, e: e.with_tensor("output0", scales=(0.1,)),
    "same_quant_all_inputs": lambda c, e: e.with_tensor("input1", scales=(0.25,)),
    "same_shape": lambda c, e: e.with_tensor("input0", shape=(1, 4, 4, 1)),
    "same_type": _other_type,
    "scale_positive": lambda c, e: e.with_tensor(c["tensor"], scales=(0.0,)),
    "split_sizes_nonzero": lambda c, e: e.with_tensor("input1", data=np.array([8, 0])),
    "square_output": _shape("output0", 1, 8, 4, 8),
    "squeeze_dims_nonempty": lambda c, e: e.with_options(squeeze_dims=[]),
    "type_in": dtype,
    "type_min_sdk": dtype,
    "type_not": dtype,
    "zero_point_zero": lambda c, e: e.with_tensor(c["tensor"], zero_points=(5,)),
}
"""Kind of an NNAPI check to what breaks it. ``min_sdk`` is broken by the level, ``accept_if`` by its condition."""


def quantised(example: Example, kind: str) -> Example:
    """The example in 8 bits: its first input, and whatever has to be quantised with it."""
    found = example.with_tensor("input0", dtype=kind, scales=(0.5,), zero_points=(0,))
    if len(example.inputs) > 1 and example.inputs[1] is not None and example.inputs[1].dtype == "FLOAT32":
        found = found.with_tensor("input1", dtype=kind, scales=(0.5,), zero_points=(0,))
    if example.outputs[0].dtype == "FLOAT32" and example.kind != "DEQUANTIZE":
        found = found.with_tensor("output0", dtype=kind, scales=(1.0,), zero_points=(0,))
    return found


def typed(example: Example, kind: str) -> Example:
    """The example with its data in another type, operands and result alike."""
    if kind in QUANTISED:
        return quantised(example, kind)
    old = example.inputs[0].dtype
    found = example
    for side in ("input", "output"):
        for index, slot in enumerate(getattr(example, side + "s")):
            if slot is not None and slot.dtype == old and (slot.data is None or slot.shape == SHAPE):
                found = found.with_tensor(f"{side}{index}", dtype=kind)
    return found


def _first(example: Example, *, constant: bool) -> str:
    """The first input that is constant, or that is not."""
    return next(f"input{i}" for i, s in enumerate(example.inputs) if s is not None and (s.data is not None) is constant)


def _toggled(check: Check, example: Example) -> Example:
    """A computed input becomes constant; without one, a constant becomes computed."""
    if check.get("runtime_inputs") == 0:
        return computed({"tensor": "input0"}, example)
    reference = _first(example, constant=False)
    return example.with_tensor(reference, data=np.ones(example.slot(reference).shape))


def _all_computed(check: Check, example: Example) -> Example:
    """Every input computed, and more of them than any limit."""
    inputs = tuple(None if s is None else replace(s, data=None) for s in example.inputs)
    return replace(example, inputs=inputs if len(inputs) > 2 else (*inputs, Slot(), Slot()))


def _all_constant(check: Check, example: Example) -> Example:
    return replace(example, inputs=tuple(replace(s, data=np.ones(s.shape)) for s in example.inputs))


def _flat(check: Check, example: Example) -> Example:
    """All tensors of rank 2, none constant."""
    return replace(
        example,
        inputs=tuple(replace(s, shape=(4, 8), data=None) for s in example.inputs),
        outputs=tuple(replace(s, shape=(4, 8)) for s in example.outputs),
    )


def _different_dim(check: Check, example: Example) -> Example:
    reference, axis = check["b"][:-3], int(check["b"][-2])
    if check["a"].startswith("input1"):
        reference, axis = check["a"][:-3], int(check["a"][-2])
    shape = list(example.slot(reference).shape)
    shape[axis] += 1
    return example.with_tensor(reference, shape=tuple(shape))


def _last_dim(reference: str) -> Spoil:
    def spoil(_: Check, example: Example) -> Example:
        shape = example.slot(reference).shape
        return example.with_tensor(reference, shape=(*shape[:-1], shape[-1] + 1))

    return spoil


def _longer_rank(check: Check, example: Example) -> Example:
    second = check["tensors"][1]
    return example.with_options(keep_num_dims=True).with_tensor(second, shape=(1, *example.slot(second).shape))


def _lstm_options(check: Check, example: Example) -> Example:
    return example.with_options(fused_activation_function="RELU", cell_clip=1.0)


GPU: dict[str, Spoil] = {
    "activation_in": lambda c, e: e.with_options(fused_activation_function="SIGN_BIT"),
    "any_of": _all_constant,
    "bias_size": _last_dim("input2"),
    "bitcast_shape": lambda c, e: e.with_tensor("output0", dtype="INT8"),
    "broadcast_add_mul": lambda c, e: e.with_tensor("input0", shape=(2, 4, 4, 8)).with_tensor(
        "input1", shape=(4, 4, 7)
    ),
    "builtin_data": lambda c, e: replace(e, options={}),
    "cast_pairs": lambda c, e: e.with_tensor("input0", dtype="INT8"),
    "cond_broadcastable_to_output": _shape("input0", 1, 3, 4, 8),
    "const_type": dtype,
    "conv_inputs": _all_computed,
    "depth_multiplier": lambda c, e: e.with_options(depth_multiplier=2),
    "lstm_basic": _lstm_options,
    "lstm_full": _lstm_options,
    "n_inputs": input_count,
    "n_inputs_ge": input_count,
    "n_outputs": lambda c, e: replace(e, outputs=(*e.outputs, Slot())),
    "not_both": lambda c, e: e.with_options(**dict.fromkeys(c["options"], True)),
    "not_const": lambda c, e: e.with_tensor(c["tensor"], data=np.ones(1)),
    "one_hot_axis": lambda c, e: e.with_options(axis=0),
    "one_hot_singleton": _shape("input0", 1, 2, 1, 1),
    "option_eq": other_option,
    "option_gt": lambda c, e: e.with_options(**{c["option"]: c["value"]}),
    "pad_shape": _shape("input1", 2, 2),
    "positive": lambda c, e: e.with_options(**{c["options"][0].replace("stride_height", "stride_h"): 0}),
    "rank": rank,
    "rank2_only_if_const": _flat,
    "runtime_const_outputs": _toggled,
    "runtime_inputs_le": _all_computed,
    "runtime_inputs_outputs": _toggled,
    "same_dim": _different_dim,
    "same_rank": lambda c, e: e.with_tensor(c["tensors"][1], shape=(*e.slot(c["tensors"][1]).shape, 1)),
    "same_rank_if": _longer_rank,
    "same_shape_or_scalar": lambda c, e: e.with_tensor(c["tensors"][0], shape=(1, 4, 4, 1)),
    "same_trailing_dims": _last_dim("output0"),
    "same_type": _other_type,
    "scalar": lambda c, e: e.with_tensor(c["tensors"][0], shape=(2,)),
    "sizes": _shape("input1", 2),
    "type_in": dtype,
    "type_not": dtype,
}
"""Kind of a check of the GPU delegates' compatibility layer to what breaks it."""
