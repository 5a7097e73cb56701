"""Stores constants of chosen operators in fewer bits, with a DEQUANTIZE between each and its operators.

XNNPACK computes that DEQUANTIZE once, while it loads; the GPU and NNAPI read float16 constants themselves. Arithmetic
stays float32, so results are those of the float32 file with these constants rounded, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph import additions
from converters.tflite_graph.buffers import compact
from converters.tflite_graph.flatbuffer import add_buffer, dump, load
from converters.tflite_graph.read import TfliteOp, read_tflite


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """A constant as it is stored.

    Attributes:
        data: its numbers, of the shape they had.
        dtype: a ``schema.TensorType``.
        quantization: scales, or None for a float type.
    """

    data: np.ndarray
    dtype: int
    quantization: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """How constants are stored.

    Attributes:
        suffix: appended to the tensor's name.
        version: of the DEQUANTIZE that widens it.
        narrow: told the operator, the position among its inputs, the values and the tensor's name; returns None for
            a constant that stays as it is.
    """

    suffix: str
    version: int
    narrow: Callable[[TfliteOp, int, np.ndarray, str], Narrowed | None]


def widened_constants(content: bytes, select: Callable[[TfliteOp], bool], narrowing: Narrowing) -> bytes:
    """The file with float32 constants of the operators ``select`` chooses stored as ``narrowing`` says.

    A constant that several chosen operators read is stored once; it is also kept in float32 where an operator that
    was not chosen reads it.

    Args:
        content: a file; its first graph is changed.
        select: told each operator; true chooses it. ``op.name`` contains the names of its Keras layers.
        narrowing: what is stored.

    Raises:
        InputError: the file is damaged.
    """
    chosen = [op for op in read_tflite(content).ops if select(op)]
    model = load(content)
    graph = model.subgraphs[0]
    narrowed: dict[int, int | None] = {}
    added: list[Any] = []
    for op in chosen:
        operator = graph.operators[op.index]
        operator.inputs = [int(index) for index in operator.inputs]
        for position, index in enumerate(operator.inputs):
            if index < 0 or not _is_float32_constant(model, graph.tensors[index]):
                continue
            if index not in narrowed:
                narrowed[index] = _narrowed(model, graph, index, op, position, narrowing, added)
            operator.inputs[position] = index if narrowed[index] is None else narrowed[index]
    graph.operators = added + list(graph.operators)
    drop_unused_tensors(graph, model)
    compact(model)
    return dump(model)


def _is_float32_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return tensor.type == schema.TensorType.FLOAT32 and data is not None and len(data) > 0


def _narrowed(
    model: Any, graph: Any, index: int, op: TfliteOp, position: int, narrowing: Narrowing, added: list[Any]
) -> int | None:
    """Adds the narrow copy, the float32 tensor computed from it and the operator between; the float tensor's index."""
    original = graph.tensors[index]
    values = np.ascontiguousarray(model.buffers[original.buffer].data, np.uint8).view("<f4")
    values = values.reshape([int(size) for size in original.shape] if original.shape is not None else ())
    name = original.name.decode("utf-8")
    stored = narrowing.narrow(op, position, values, name)
    if stored is None:
        return None
    narrow, full = schema.TensorT(), schema.TensorT()
    narrow.shape = full.shape = original.shape
    narrow.hasRank = full.hasRank = original.hasRank
    narrow.type, full.type = stored.dtype, schema.TensorType.FLOAT32
    narrow.quantization = stored.quantization
    narrow.buffer, full.buffer = add_buffer(model, np.ascontiguousarray(stored.data).tobytes()), 0
    narrow.name = f"{name}/{narrowing.suffix}".encode()
    full.name = f"{name}/{narrowing.suffix}/dequantized".encode()
    graph.tensors.extend((narrow, full))
    at, options = len(graph.tensors) - 1, schema.DequantizeOptionsT()
    added.append(additions.operator(model, "DEQUANTIZE", [at - 1], at, version=narrowing.version, options=options))
    return at


def drop_unused_tensors(graph: Any, model: Any) -> None:
    """Takes out tensors nothing names any more, so that their buffers go too."""
    used = {int(i) for i in (*graph.inputs, *graph.outputs)}
    for operator in graph.operators:
        for indices in (operator.inputs, operator.outputs, operator.intermediates):
            used.update(int(i) for i in (indices if indices is not None else ()) if i >= 0)
    kept = sorted(used)
    moved = {old: new for new, old in enumerate(kept)} | {-1: -1}
    graph.tensors = [graph.tensors[index] for index in kept]
    graph.inputs = [moved[int(i)] for i in graph.inputs]
    graph.outputs = [moved[int(i)] for i in graph.outputs]
    for operator in graph.operators:
        operator.inputs = [moved[int(i)] for i in operator.inputs]
        operator.outputs = [moved[int(i)] for i in operator.outputs]
        if operator.intermediates is not None:
            operator.intermediates = [moved[int(i)] for i in operator.intermediates]
    for signature in model.signatureDefs or ():
        if signature.subgraphIndex == 0:
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = moved[int(entry.tensorIndex)]
