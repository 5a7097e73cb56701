"""One file of a sweep: an operator, its tensors, and the range of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from converters.tflite_graph.read import TfliteGraph
from tests.toolkit.delegates.op_examples import Example, Slot, const
from tests.toolkit.delegates.written_files import write

NO_ACTIVATION = {"fused_activation_function": "NONE"}
POSITIVE = (0.2, 3.0)

OPTIONS = {
    "ADD": "AddOptions",
    "ARG_MAX": "ArgMaxOptions",
    "ARG_MIN": "ArgMinOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CAST": "CastOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "CUMSUM": "CumsumOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "GELU": "GeluOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "LOCAL_RESPONSE_NORMALIZATION": "LocalResponseNormalizationOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "MUL": "MulOptions",
    "ONE_HOT": "OneHotOptions",
    "PACK": "PackOptions",
    "REDUCE_ALL": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "REVERSE_SEQUENCE": "ReverseSequenceOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "SHAPE": "ShapeOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "SPLIT": "SplitOptions",
    "SPLIT_V": "SplitVOptions",
    "SQUEEZE": "SqueezeOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "SUM": "ReducerOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "UNPACK": "UnpackOptions",
}
"""Class of the schema's options by operator; the others are written without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file of the sweep.

    Attributes:
        id: names operator, type, shapes and what is special.
        example: the operator; output shapes are filled in from TFLite's own.
        ranges: by number of the input, lowest and highest value; normal numbers otherwise.
        then: kind of a float operator of one input that reads the first output, so that the file has two operators.
    """

    id: str
    example: Example
    ranges: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    then: str = ""

    def input_ranges(self) -> dict[str, tuple[float, float]]:
        """The ranges by the names the tensors have in the file."""
        return {f"t{number}": span for number, span in self.ranges.items()}

    def write(self) -> bytes:
        """The file, with the shapes that TFLite itself gives the outputs.

        Raises:
            ValueError: TFLite does not take the operator: the case is at fault.
        """
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        draft = write(self._graph(self.example), options=OPTIONS)
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            interpreter = Interpreter(model_content=draft, experimental_op_resolver_type=resolver)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{self.id}: TFLite: {error}") from error
        # The draft has the operator alone, so its outputs are the operator's.
        shapes = [tuple(int(size) for size in detail["shape"]) for detail in interpreter.get_output_details()]
        outputs = tuple(replace(slot, shape=shape) for slot, shape in zip(self.example.outputs, shapes, strict=True))
        return write(self._graph(replace(self.example, outputs=outputs), self.then), options=OPTIONS)

    @staticmethod
    def _graph(example: Example, then: str = "") -> TfliteGraph:
        made = replace(example, consumer=then).graph()
        read = {index for op in made.ops for index in op.inputs}
        written = {index for op in made.ops for index in op.outputs}
        computed = tuple(t.index for t in made.tensors if t.data is None and t.index in read - written)
        return replace(made, inputs=computed)


def floats(*shape: int) -> Slot:
    """A computed float tensor."""
    return Slot(shape=shape)


def int8(*shape: int, scale: float = 0.05, zero: int = 0, data: Any = None) -> Slot:
    """A quantised tensor."""
    return Slot(shape=shape, dtype="INT8", scales=(scale,), zero_points=(zero,), data=data)


def int16(*shape: int, scale: float = 1e-3) -> Slot:
    """A computed tensor in 16 bits."""
    return Slot(shape=shape, dtype="INT16", scales=(scale,), zero_points=(0,))


def int32(*shape: int) -> Slot:
    """A computed integer tensor."""
    return Slot(shape=shape, dtype="INT32")


def boolean(*shape: int) -> Slot:
    """A computed boolean tensor."""
    return Slot(shape=shape, dtype="BOOL")


def numbers(*shape: int, low: float = 0.0, high: float = 0.0) -> Slot:
    """A float constant: normal numbers, or uniform ones of a range."""
    made = np.random.default_rng(sum(shape) + len(shape))
    data = made.uniform(low, high, shape) if high else made.standard_normal(shape)
    return const(data.astype(np.float32), "FLOAT32")


def weights8(*shape: int, scale: float = 0.02) -> Slot:
    """A quantised constant."""
    data = np.random.default_rng(sum(shape)).integers(-127, 128, shape).astype(np.int8)
    return Slot(shape=shape, dtype="INT8", data=data, scales=(scale,), zero_points=(0,))


def bias32(size: int, scale: float) -> Slot:
    """An int32 bias."""
    data = np.random.default_rng(size).integers(-200, 200, size).astype(np.int32)
    return Slot(shape=(size,), dtype="INT32", data=data, scales=(scale,), zero_points=(0,))


def shown(*slots: Slot | None) -> str:
    """Shapes as a test id has them."""
    return "+".join(
        "-" if s is None else ("c" if s.data is not None else "") + "x".join(map(str, s.shape or ("scalar",)))
        for s in slots
    )


def of(
    kind: str,
    *inputs: Slot | None,
    to: Slot | tuple[Slot, ...] | None = None,
    note: str = "",
    version: int = 1,
    ranges: Mapping[int, tuple[float, float]] | None = None,
    identical: bool = False,
    then: str = "",
    **options: Any,
) -> Case:
    """A case; outputs have the first input's type unless given."""
    first = next(slot for slot in inputs if slot is not None)
    outputs = to if isinstance(to, tuple) else (to or replace(first, data=None),)
    name = f"{kind} {first.dtype.lower()} {shown(*inputs)}" + (f" {note}" if note else "")
    example = Example(kind=kind, inputs=inputs, outputs=outputs, options=options, version=version, identical=identical)
    return Case(id=name, example=example, ranges=ranges or {}, then=then)
