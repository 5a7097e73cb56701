"""Breaks the limits of the classic GPU delegate and runs into the messages of the LiteRT GPU accelerator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.toolkit.delegates.op_examples import Example, Slot, const

Spoil = Callable[[Example], Example]

_ONE_VALUE = {"shape": (1,), "data": np.ones(1), "dtype": "STRING"}


def _given(reference: str, **changes: object) -> Spoil:
    return lambda e: e.with_tensor(reference, **changes)


def _option(**changes: object) -> Spoil:
    return lambda e: e.with_options(**changes)


def _constant(reference: str) -> Spoil:
    return lambda e: e.with_tensor(reference, data=np.ones(e.slot(reference).shape))


def _two_axes(e: Example) -> Example:
    return e.with_tensor("input0", shape=(1, 4, 5, 7))


def _more_inputs(e: Example) -> Example:
    return replace(e, inputs=(*e.inputs, Slot()))


def _starts(rank: int, count: int) -> Spoil:
    """A slice of a tensor of one rank by another number of starts."""

    def spoil(e: Example) -> Example:
        data, starts = Slot(shape=(4,) * rank), const(np.zeros(count, np.int32))
        return replace(e, inputs=(data, starts, starts), outputs=(Slot(shape=(4,) * rank),))

    return spoil


def _sliced(axis: int) -> Spoil:
    """A slice whose stored output is not what its starts and sizes give along one axis."""
    shape = [1, 2, 4, 8]
    shape[axis] += 1
    return _given("output0", shape=tuple(shape))


CLASSIC_LIMITS: dict[int, Spoil] = {
    341: _given("input1", shape=(1, 8, 4), data=np.ones((1, 8, 4))),
    385: lambda e: replace(e, producer=""),
    607: _two_axes,
    641: _given("input1", shape=(8, 1, 1, 4), data=None),
    896: _given("input0", is_sparse=False),
    1073: lambda e: replace(e, consumer=""),
    1141: lambda e: replace(e, identical=True),
    1359: _given("input1", shape=(8, 7)),
    1531: _more_inputs,
    1717: _given("input1", shape=(7,)),
    2231: _given("input1", data=None),
    2522: _given("input3", data=np.array([1, -1, 1, 1])),
    2808: _given("input1", data=None),
}
"""Line of a limit to what breaks it."""

REJECTS: dict[str, Spoil] = {
    "Alpha shape does not match input shape.": _given("input1", shape=(3, 4, 8)),
    "Applies only two input tensors": lambda e: replace(e, inputs=(*e.inputs, None)),
    "Can't parse inputs with const tensors.": _given("input1", **_ONE_VALUE),
    "Constant input is not supported.": _constant("input0"),
    "Couldn't find an axis to concatenate by.": _two_axes,
    "Dequantize for Densify is not supported": _given("input0", scales=()),
    "EMBEDDING_LOOKUP: Empty quantization params.": _given("input1", dtype="INT8"),
    "EMBEDDING_LOOKUP: Unsupported weights type.": _given("input1", dtype="INT16"),
    "Encountered Dequantize input with no quant params": lambda e: _more_inputs(e.with_tensor("input0", scales=())),
    "Encountered Quantize output with no quant params": _given("output0", scales=()),
    "If half_pixel_centers is True, align_corners must be False.": _option(half_pixel_centers=True, align_corners=True),
    "Input / output dtype mismatch.": _given("output0", dtype="INT8"),
    "Inputs dimensions sizes don't match, broadcasting isn't applicable.": _given("input1", shape=(4, 4, 7)),
    "Linear alpha shape does not match the number of input channels.": _given("input1", shape=(7,)),
    "Not supported batched mat mul case: non-constant tensor": _constant("input0"),
    "Not supported batched mat mul case: second input has unsupported rank": _given("input1", **_ONE_VALUE),
    "Not supported batched mat mul case: too many inputs": lambda e: _more_inputs(e.with_tensor("input1", data=None)),
    "No support of few identical inputs in the same operation.": lambda e: replace(e, identical=True),
    "OneHot axis must be -1 or the last dimension.": _option(axis=0),
    "OneHot indices channel dimension must be 1.": _given("input0", shape=(1, 1, 1, 2)),
    "Only supports 1D-4D input tensor.": _given("input0", shape=()),
    "Only supports 1D-4D output tensor.": _given("output0", shape=()),
    "Output batch don't match": _sliced(0),
    "Output channels don't match": _sliced(3),
    "Output height doesn't match": _sliced(1),
    "Output width doesn't match": _sliced(2),
    "Output shape mismatch": _sliced(2),
    "Paddings tensor has unexpected shape.": _given("input1", shape=(2, 2)),
    "Permutation for transpose is invalid.": _given("input1", data=np.array([0])),
    "Reverse slices are not supported.": _given("input3", data=np.array([1, -1, 1, 1])),
    "STRIDED_SLICE input/params dimensions mismatch.": _given("input1", shape=(2,)),
    "Slicing is unsupported for input with rank > 4": _starts(5, 5),
    "Slicing starts count must be 1 for 1d input": _starts(1, 2),
    "Slicing starts count must be 2 for 2d input": _starts(2, 1),
    "Slicing starts count must be 3 for 3d input": _starts(3, 2),
    "Slicing starts count must be 3 or 4 for 4d input": _starts(4, 2),
    "Softmax.beta != 1 is not supported.": _option(beta=2.0),
    "TopK k must be constant tensor.": _given("input1", data=None),
    "TopK k must be scalar.": _given("input1", shape=(2,), data=np.array([1, 2])),
    "TopK requires 2 output tensors": lambda e: replace(e, outputs=e.outputs[:1]),
    "Unsupported Depthwise Convolution case.": lambda e: replace(
        e, inputs=tuple(replace(s, data=None) for s in e.inputs)
    ),
    "Unsupported fully connected weights format.": _option(weights_format="SHUFFLED4x16INT8"),
    "Unsupported quantization scale size": _given("input0", scales=(0.5, 0.25), zero_points=(0, 0)),
    "input must be a runtime tensor": _constant("input0"),
    "operand dims must be 1D-4D.": _given("input0", shape=()),
    "output dims must be 1D-4D.": _given("output0", shape=()),
    "src has no data.": _given("input1", data=None),
    "start_indices dims must be 1D-4D.": _given("input2", shape=()),
    "start_indices must be a runtime tensor": _constant("input2"),
    "stride values must be non-zero": _given("input3", data=np.array([1, 0, 1, 1])),
    "update dims must be 1D-4D.": _given("input1", shape=()),
}
"""Message of the accelerator to what runs into it."""
