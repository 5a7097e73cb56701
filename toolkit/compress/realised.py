"""The precision an operator of a flatbuffer really computes in, told from the types of its tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from converters.tflite_graph.read import TfliteGraph, TfliteOp, TfliteTensor

FLOATS = frozenset({"FLOAT32", "FLOAT16", "FLOAT64"})
_QUANTISED = frozenset({"INT8", "UINT8", "INT16", "INT4"})
WIDENING = frozenset({"DEQUANTIZE", "DENSIFY"})
# They hand values on as they are (or re-express them), so they have the precision of their neighbours.
_MOVING = frozenset(
    {
        "QUANTIZE", "DEQUANTIZE", "DENSIFY", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SHAPE", "CAST", "SLICE",
        "STRIDED_SLICE", "SPLIT", "SPLIT_V", "PACK", "UNPACK", "PAD", "PADV2", "MIRROR_PAD", "TILE", "BROADCAST_TO",
        "GATHER", "GATHER_ND", "REVERSE_V2", "REVERSE_SEQUENCE", "RESIZE_NEAREST_NEIGHBOR", "SPACE_TO_BATCH_ND",
        "BATCH_TO_SPACE_ND", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE",
    }
)  # fmt: skip
_MULTIPLIED: Final = frozenset(
    {"BATCH_MATMUL", "CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "EMBEDDING_LOOKUP", "FULLY_CONNECTED", "GATHER"}
    | {"TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
)
"""Operators whose constants of more than one axis are matrices or tables; elsewhere they are added or scale."""


@dataclass(frozen=True, slots=True)
class Realised:
    """How an operator computes.

    Attributes:
        name: ``int8``, ``int16x8``, ``float16`` (float arithmetic on constants stored in 16 bits), ``float32``,
            ``int8-weights`` (float activations, multiplied by int8 weights), ``int8-storage`` (float arithmetic on
            weights stored in 8 bits), ``mixed (…)``, ``conversion`` (from one of them to another), or a whole-number
            type such as ``int32``.
        plumbing: it only moves values and holds no weights.
        constants: it holds constants of more than one number, so that their storage is a choice.
        real: it computes with real numbers rather than with indices or truth values.
        matrix: one of its constants is a matrix or more, rather than a number for each channel.
    """

    name: str
    plumbing: bool
    constants: bool
    real: bool
    matrix: bool = False


@dataclass(frozen=True, slots=True)
class Realisation:
    """Reads the precision of the operators of one graph."""

    graph: TfliteGraph
    _producers: dict[int, TfliteOp] = field(init=False)

    def __post_init__(self) -> None:
        producers = {index: op for op in self.graph.ops for index in op.outputs}
        object.__setattr__(self, "_producers", producers)

    def producer(self, tensor: int) -> TfliteOp | None:
        """The operator that computes a tensor."""
        return self._producers.get(tensor)

    def constant(self, tensor: int) -> TfliteTensor | None:
        """The stored constant behind a tensor, seen through the operators that only widen it."""
        if tensor < 0:
            return None
        found = self.graph.tensors[tensor]
        if found.is_constant:
            return found
        maker = self.producer(tensor)
        return self.constant(maker.inputs[0]) if maker is not None and maker.kind in WIDENING else None

    def constants(self, op: TfliteOp) -> list[TfliteTensor]:
        """Constants the operator reads, as stored, the biases and index lists included."""
        found = (self.constant(index) for index in op.inputs)
        return [tensor for tensor in found if tensor is not None]

    def of(self, op: TfliteOp) -> Realised:
        """The precision of ``op``."""
        weights = [tensor for tensor in self.constants(op) if _is_real(tensor) and _count(tensor) > 1]
        running = [index for index in op.inputs if index >= 0 and self.constant(index) is None]
        tensors = [self.graph.tensors[index] for index in (*running, *op.outputs)]
        signals = {tensor.dtype for tensor in tensors if _is_real(tensor) and not tensor.is_variable}
        if not signals:
            dtype = self.graph.tensors[op.outputs[0]].dtype if op.outputs else "INT32"
            return Realised(dtype.lower(), op.kind in _MOVING, False, False)
        plumbing = op.kind in WIDENING or (op.kind in _MOVING and not weights)
        # The largest constant decides: biases are kept at a higher precision in every quantised form.
        largest = max(weights, key=_count) if weights else None
        widened = largest is not None and not any(largest is self.graph.tensors[i] for i in op.inputs if i >= 0)
        stored = None if largest is None else largest.dtype
        name = "conversion" if plumbing and len(signals) > 1 else _name(signals, stored, widened=widened)
        matrix = op.kind in _MULTIPLIED and any(_is_matrix(tensor) for tensor in weights)
        return Realised(name, plumbing, bool(weights), True, matrix)


def _name(signals: set[str], stored: str | None, *, widened: bool) -> str:
    if signals == {"INT8"} and stored in (None, "INT8"):
        return "int8"
    if signals == {"INT16"} and stored in (None, "INT8", "INT16"):
        return "int16x8"
    if signals == {"FLOAT32"}:
        if stored in (None, "FLOAT32"):
            return "float32"
        eight = "int8-storage" if widened else "int8-weights"
        return {"FLOAT16": "float16", "INT8": eight}.get(stored, f"dynamic {stored.lower()}")
    types = ", ".join(sorted(dtype.lower() for dtype in signals))
    return f"mixed ({types}{f'; weights {stored.lower()}' if stored else ''})"


def _is_real(tensor: TfliteTensor) -> bool:
    return tensor.dtype in FLOATS or (tensor.dtype in _QUANTISED and bool(tensor.scales))


def _is_matrix(tensor: TfliteTensor) -> bool:
    return sum(size > 1 for size in tensor.shape) > 1


def _count(tensor: TfliteTensor) -> int:
    count = 1
    for size in tensor.shape:
        count *= size
    return count
