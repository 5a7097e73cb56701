"""One or more plain graphs of every operator the delegates' tables know, each accepted by the delegates that have it.

The coverage tests take these as the twin that satisfies every check and spoil them check by check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from converters.tflite_graph.read import TfliteGraph
from tests.toolkit.delegates.small_graphs import graph, op, tensor

SHAPE = (1, 4, 4, 8)
QUANTISED = {"UINT8", "INT8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A tensor of an example; constant where it has data."""

    shape: tuple[int, ...] = SHAPE
    dtype: str = "FLOAT32"
    data: Any = None
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    is_sparse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A graph of one operator, perhaps with one that reads its result and one that makes its first input.

    Attributes:
        kind: the operator.
        inputs: its inputs; None where an optional one is absent.
        outputs: its outputs.
        options: its options.
        version: its version.
        custom_code: name of a custom operator.
        consumer: kind of an operator that turns the result into float32; none when empty.
        producer: kind of an operator that makes the first input; none when empty.
        identical: both inputs are the same tensor.
    """

    kind: str
    inputs: tuple[Slot | None, ...]
    outputs: tuple[Slot, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    custom_code: str = ""
    consumer: str = ""
    producer: str = ""
    identical: bool = False

    def with_tensor(self, reference: str, **changes: Any) -> Example:
        """The example with ``input0`` or ``output0`` changed."""
        side = "inputs" if reference.startswith("input") else "outputs"
        index = int(reference.removeprefix(side[:-1]))
        slots = list(getattr(self, side))
        slots[index] = replace(slots[index], **changes)
        return replace(self, **{side: tuple(slots)})

    def with_options(self, **changes: Any) -> Example:
        """The example with options changed."""
        return replace(self, options={**self.options, **changes})

    def slot(self, reference: str) -> Slot | None:
        """The tensor behind ``input0`` or ``output0``; None when there is none."""
        side = self.inputs if reference.startswith("input") else self.outputs
        index = int(reference.removeprefix("input").removeprefix("output"))
        return side[index] if index < len(side) else None

    def graph(self) -> TfliteGraph:
        """The graph; the operator comes first unless something makes its input."""
        slots = [s for s in (*self.inputs, *self.outputs) if s is not None]
        tensors = [
            tensor(i, s.shape, s.dtype, s.data, scales=s.scales, zero_points=s.zero_points, is_sparse=s.is_sparse)
            for i, s in enumerate(slots)
        ]
        numbers = iter(range(len(slots)))
        inputs = [-1 if s is None else next(numbers) for s in self.inputs]
        outputs = tuple(next(numbers) for _ in self.outputs)
        if self.identical and len(inputs) > 1:
            inputs[1] = inputs[0]
        ops = []
        if self.producer:
            tensors.append(tensor(len(tensors), SHAPE))
            ops.append(op(0, self.producer, (len(tensors) - 1,), (inputs[0],)))
        made = op(len(ops), self.kind, tuple(inputs), outputs, self.version, **self.options)
        ops.append(replace(made, custom_code=self.custom_code))
        if self.consumer:
            tensors.append(tensor(len(tensors), self.outputs[0].shape))
            ops.append(op(len(ops), self.consumer, outputs[:1], (len(tensors) - 1,)))
        return graph(tensors, ops, outputs=ops[-1].outputs)


def const(values: Any, dtype: str = "INT32", shape: tuple[int, ...] | None = None) -> Slot:
    """A constant input."""
    data = np.asarray(values)
    return Slot(shape=data.shape if shape is None else shape, dtype=dtype, data=data)


def _ones(*shape: int) -> Slot:
    return const(np.ones(shape), "FLOAT32")


def _unary(kind: str, *, to: Slot | None = None, of: Slot | None = None, **options: Any) -> Example:
    return Example(kind=kind, inputs=(of or Slot(),), outputs=(to or Slot(),), options=options)


def _binary(kind: str, *, dtype: str = "FLOAT32", to: str = "", consumer: str = "", **options: Any) -> Example:
    slot = Slot(dtype=dtype)
    return Example(
        kind=kind, inputs=(slot, slot), outputs=(Slot(dtype=to or dtype),), options=options, consumer=consumer
    )


def _of(kind: str, *inputs: Slot | None, to: Slot | tuple[Slot, ...] = Slot(), **options: Any) -> Example:
    outputs = to if isinstance(to, tuple) else (to,)
    return Example(kind=kind, inputs=inputs, outputs=outputs, options=options)


_ACTIVATION = {"fused_activation_function": "NONE"}
_STRIDES = {"padding": "VALID", "stride_w": 1, "stride_h": 1}
_CONVOLUTION = {**_ACTIVATION, **_STRIDES, "dilation_w_factor": 1, "dilation_h_factor": 1}
_POOL = {**_ACTIVATION, **_STRIDES, "filter_width": 2, "filter_height": 2}
_RESIZE = {"align_corners": False, "half_pixel_centers": False}
_MASKS = {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 0}
_WIDE = Slot(shape=(1, 8, 8, 8))
_VECTOR = Slot(shape=(2, 8))
_PADDING = const(np.zeros((4, 2), np.int32))
_QUANTISED_SLOT = Slot(dtype="INT8", scales=(0.5,), zero_points=(0,))

_FLOAT_UNARY = ("ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LOG", "LOGISTIC", "LOG_SOFTMAX")
_MORE_UNARY = ("NEG", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE")
_FLOAT_BINARY = ("ADD_N", "ATAN2", "FLOOR_DIV", "FLOOR_MOD", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE")
_SHIFTS = ("BITWISE_XOR", "RIGHT_SHIFT", "STABLEHLO_REMAINDER", "STABLEHLO_SHIFT_LEFT")
_COMPARISONS = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")
_REDUCTIONS = ("MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SUM")


def _lstm(inputs: int) -> Example:
    return _of("LSTM", *(_VECTOR for _ in range(inputs)), to=_VECTOR, fused_activation_function="TANH")


def _basic_lstm() -> Example:
    """The five-input kernel in 8 bits, as NNAPI takes it; constants are its weights and biases."""
    data = Slot(shape=(1, 8), dtype="UINT8", scales=(0.0078125,), zero_points=(128,))
    cell = Slot(shape=(1, 8), dtype="INT16", scales=(0.00048828125,), zero_points=(0,))
    weights = const(np.ones((32, 16), np.uint8), "UINT8")
    return _of(
        "LSTM",
        data,
        data,
        weights,
        const(np.ones(32, np.int32)),
        cell,
        to=(data, cell, data, data),
        fused_activation_function="TANH",
        cell_clip=0.0,
        proj_clip=0.0,
    )


def _basic_lstm_float() -> Example:
    """The same kernel in float, as the GPU takes it."""
    row = Slot(shape=(1, 8))
    found = _basic_lstm()
    return replace(
        found, inputs=(row, row, _ones(32, 16), _ones(32), row), outputs=(row, row, row, Slot(shape=(1, 16)))
    )


_LISTED: tuple[Example, ...] = (
    *(_unary(kind) for kind in (*_FLOAT_UNARY, *_MORE_UNARY)),
    *(_unary(kind) for kind in ("TANH", "STABLEHLO_CBRT", "LOCAL_RESPONSE_NORMALIZATION")),
    _unary("LEAKY_RELU", alpha=0.1),
    _unary("SOFTMAX", beta=1.0),
    _unary("L2_NORMALIZATION", **_ACTIVATION),
    _unary("DEPTH_TO_SPACE", block_size=2, to=Slot(shape=(1, 8, 8, 2))),
    _unary("SPACE_TO_DEPTH", block_size=2, to=Slot(shape=(1, 2, 2, 32))),
    _unary("BITCAST", to=Slot(dtype="INT32")),
    _unary("CAST", to=Slot()),
    replace(_unary("CAST", of=Slot(dtype="BOOL")), producer="LOGICAL_AND"),
    _unary("LOGICAL_NOT", of=Slot(dtype="BOOL"), to=Slot(dtype="BOOL")),
    _unary("DENSIFY", of=Slot(data=np.ones(SHAPE), is_sparse=True)),
    _unary("DEQUANTIZE", of=_QUANTISED_SLOT),
    _unary("DEQUANTIZE", of=Slot(dtype="FLOAT16")),
    _unary("QUANTIZE", to=Slot(dtype="UINT8", scales=(0.5,), zero_points=(0,))),
    _unary("QUANTIZE", to=_QUANTISED_SLOT),
    *(_binary(kind) for kind in _FLOAT_BINARY),
    *(_binary(kind, **_ACTIVATION) for kind in ("ADD", "DIV", "MUL", "SUB")),
    *(_binary(kind, dtype="INT32") for kind in _SHIFTS),
    *(_binary(kind, to="BOOL", consumer="CAST") for kind in _COMPARISONS),
    _binary("LOGICAL_AND", dtype="BOOL", consumer="CAST"),
    _binary("LOGICAL_OR", dtype="BOOL"),
    *(_of(kind, Slot(), const([1, 2]), to=Slot(shape=(1, 8)), keep_dims=False) for kind in _REDUCTIONS),
    *(_of(k, Slot(dtype="BOOL"), const([1, 2]), to=Slot(shape=(1, 8), dtype="BOOL")) for k in ("REDUCE_ALL",)),
    _of("REDUCE_ANY", Slot(dtype="BOOL"), const([1, 2]), to=Slot(shape=(1, 8), dtype="BOOL")),
    *(
        _of(kind, Slot(), const([3]), to=Slot(shape=(1, 4, 4), dtype="INT32"), output_type="INT32")
        for kind in ("ARG_MAX", "ARG_MIN")
    ),
    *(_of(kind, Slot(), to=Slot(shape=(1, 3, 3, 8)), **_POOL) for kind in ("AVERAGE_POOL_2D", "L2_POOL_2D")),
    _of("MAX_POOL_2D", Slot(), to=Slot(shape=(1, 3, 3, 8)), **_POOL),
    _of("BATCH_MATMUL", Slot(shape=(2, 4, 8)), Slot(shape=(2, 8, 4)), to=Slot(shape=(2, 4, 4))),
    _of("BATCH_MATMUL", Slot(shape=(1, 4, 8)), _ones(8, 4), to=Slot(shape=(1, 4, 4))),
    _of("BATCH_TO_SPACE_ND", Slot(), const([1, 1]), const(np.zeros((2, 2), np.int32))),
    _of("SPACE_TO_BATCH_ND", Slot(), const([1, 1]), const(np.zeros((2, 2), np.int32))),
    _of("CONCATENATION", Slot(), Slot(), to=Slot(shape=(1, 4, 4, 16)), axis=3, **_ACTIVATION),
    _of("CONV_2D", Slot(), _ones(8, 1, 1, 8), _ones(8), **_CONVOLUTION),
    _of("DEPTHWISE_CONV_2D", Slot(), _ones(1, 1, 1, 8), _ones(8), depth_multiplier=1, **_CONVOLUTION),
    _of("TRANSPOSE_CONV", const([1, 4, 4, 8]), _ones(8, 1, 1, 8), Slot(), **_STRIDES),
    _of("CUMSUM", Slot(), const(3)),
    replace(_of("CUSTOM", Slot(), Slot()), custom_code="Resampler"),
    _of("STABLEHLO_COMPOSITE", Slot(), name="odml.rms_norm"),
    _of("DYNAMIC_UPDATE_SLICE", Slot(), Slot(), Slot(shape=(4,), dtype="INT32")),
    _of("EMBEDDING_LOOKUP", Slot(shape=(3,), dtype="INT32"), _ones(10, 8), to=Slot(shape=(3, 8))),
    _of("HASHTABLE_LOOKUP", Slot(shape=(3,), dtype="INT32"), const([1, 2]), _ones(2, 8), to=Slot(shape=(3, 8))),
    _of("EXPAND_DIMS", Slot(shape=(4, 4, 8)), const(0)),
    _of("FILL", const([2, 2]), const(1.0, "FLOAT32"), to=Slot(shape=(2, 2))),
    _of(
        "FULLY_CONNECTED",
        _VECTOR,
        _ones(8, 8),
        _ones(8),
        to=_VECTOR,
        weights_format="DEFAULT",
        keep_num_dims=False,
        **_ACTIVATION,
    ),
    _of("GATHER", Slot(shape=(8, 4)), const([2, 1, 0]), to=Slot(shape=(3, 4)), axis=0),
    _of("GATHER_ND", Slot(shape=(8, 4)), const([[2], [1]]), to=Slot(shape=(2, 4))),
    _of("SCATTER_ND", const([[2], [1]]), Slot(shape=(2, 4)), const([8, 4]), to=Slot(shape=(8, 4))),
    _of("BROADCAST_TO", Slot(shape=(1, 1, 1, 8)), const([1, 4, 4, 8])),
    _of("LSH_PROJECTION", _ones(2, 4), Slot(), Slot(shape=(8,)), to=Slot(shape=(8,), dtype="INT32"), type="DENSE"),
    _of("LSH_PROJECTION", _ones(2, 4), Slot(), to=Slot(shape=(8,), dtype="INT32"), type="SPARSE"),
    _lstm(20),
    _lstm(24),
    _basic_lstm(),
    _basic_lstm_float(),
    _of("UNIDIRECTIONAL_SEQUENCE_LSTM", *(_VECTOR for _ in range(20)), to=_VECTOR),
    _of("BIDIRECTIONAL_SEQUENCE_LSTM", *(_VECTOR for _ in range(20)), to=_VECTOR),
    _of("UNIDIRECTIONAL_SEQUENCE_RNN", *(_VECTOR for _ in range(5)), to=_VECTOR),
    _of("RNN", *(_VECTOR for _ in range(5)), to=_VECTOR),
    _of("SVDF", *(_VECTOR for _ in range(5)), to=_VECTOR),
    _of("MIRROR_PAD", Slot(), _PADDING, mode="REFLECT"),
    _of("PAD", Slot(), _PADDING),
    _of("PAD", Slot(), _PADDING, const(0.0, "FLOAT32")),
    _of("PADV2", Slot(), _PADDING, const(0.0, "FLOAT32")),
    _of("PADV2", Slot(), _PADDING),
    _of(
        "ONE_HOT",
        Slot(shape=(1, 1, 1, 1), dtype="INT32"),
        const(8),
        const(1.0, "FLOAT32"),
        const(0.0, "FLOAT32"),
        to=Slot(shape=(1, 1, 1, 8)),
        axis=-1,
    ),
    _of("PACK", Slot(shape=(4, 4, 8)), Slot(shape=(4, 4, 8)), to=Slot(shape=(2, 4, 4, 8)), axis=0),
    _of("UNPACK", Slot(shape=(2, 4, 8)), to=(Slot(shape=(4, 8)), Slot(shape=(4, 8))), axis=0, num=2),
    _of("PRELU", Slot(), _ones(8)),
    _of("RESHAPE", Slot(), const([1, 16, 1, 8]), to=Slot(shape=(1, 16, 1, 8)), new_shape=[1, 16, 1, 8]),
    _of("RESHAPE", Slot(), to=Slot(shape=(1, 16, 1, 8)), new_shape=[1, 16, 1, 8]),
    *(_of(kind, Slot(), const([8, 8]), to=_WIDE, **_RESIZE) for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")),
    _of("REVERSE_V2", Slot(), const([2])),
    *(_of(kind, Slot(dtype="BOOL"), Slot(), Slot()) for kind in ("SELECT", "SELECT_V2")),
    _of("SLICE", Slot(), const([0, 0, 0, 0]), const([1, 2, 4, 8]), to=Slot(shape=(1, 2, 4, 8))),
    _of(
        "STRIDED_SLICE",
        Slot(),
        const([0, 0, 0, 0]),
        const([1, 2, 4, 8]),
        const([1, 1, 1, 1]),
        to=Slot(shape=(1, 2, 4, 8)),
        **_MASKS,
    ),
    _of("SPLIT", const(3), Slot(), to=(Slot(shape=(1, 4, 4, 4)), Slot(shape=(1, 4, 4, 4))), num_splits=2),
    _of("SPLIT_V", Slot(), const([4, 4]), const(3), to=(Slot(shape=(1, 4, 4, 4)), Slot(shape=(1, 4, 4, 4)))),
    _of("SQUEEZE", Slot(), to=Slot(shape=(4, 4, 8)), squeeze_dims=[0]),
    _of("STABLEHLO_BROADCAST_IN_DIM", Slot(shape=(8,)), const([3])),
    _of("STABLEHLO_CLAMP", Slot(), Slot(), Slot()),
    _of("TILE", Slot(), const([1, 1, 2, 1]), to=Slot(shape=(1, 4, 8, 8))),
    _of("TOPK_V2", Slot(), const(2), to=(Slot(shape=(1, 4, 4, 2)), Slot(shape=(1, 4, 4, 2), dtype="INT32"))),
    _of("TRANSPOSE", Slot(), const([0, 2, 1, 3])),
)

EXAMPLES: dict[str, tuple[Example, ...]] = {
    kind: tuple(e for e in _LISTED if e.kind == kind) for kind in dict.fromkeys(e.kind for e in _LISTED)
}
"""Operator kind to its examples, the plainest first."""
