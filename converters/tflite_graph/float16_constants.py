"""Stores the constants of chosen operators as float16.

Each becomes a float16 tensor and a DEQUANTIZE in front of the operator. XNNPACK, the GPU and NNAPI fold that pair into
their own float16 weights; elsewhere it runs once. Results are those of the float32 file with its constants rounded to
float16, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.errors import InputError
from converters.tflite_graph.buffers import compact
from converters.tflite_graph.flatbuffer import add_buffer, dump, load, operator_code
from converters.tflite_graph.read import TfliteOp, read_tflite

_DEQUANTIZE_FLOAT16_VERSION = 3


def float16_constants(content: bytes, select: Callable[[TfliteOp], bool], *, min_elements: int = 2) -> bytes:
    """The file with the float32 constants of the operators ``select`` chooses stored as float16.

    Args:
        content: a file; its first graph is changed.
        select: told each operator; true chooses it. ``op.name`` contains the names of its Keras layers.
        min_elements: constants with fewer elements stay (a scalar saves nothing and costs an operator).

    Raises:
        InputError: the file is damaged, or a constant exceeds float16's range (65504).
    """
    chosen = [op for op in read_tflite(content).ops if select(op)]
    model = load(content)
    graph = model.subgraphs[0]
    code = None
    rounded: dict[int, int] = {}
    added: list[Any] = []
    for op in chosen:
        operator = graph.operators[op.index]
        operator.inputs = [int(index) for index in operator.inputs]
        for position, index in enumerate(operator.inputs):
            if index < 0 or not _is_float32_constant(model, graph.tensors[index], min_elements):
                continue
            if index not in rounded:
                if code is None:
                    code = operator_code(model, schema.BuiltinOperator.DEQUANTIZE, _DEQUANTIZE_FLOAT16_VERSION)
                rounded[index] = len(graph.tensors) + 1
                added.append(_dequantize(model, graph, index, code))
            operator.inputs[position] = rounded[index]
    graph.operators = added + list(graph.operators)
    drop_unused_tensors(graph, model)
    compact(model)
    return dump(model)


def _is_float32_constant(model: Any, tensor: Any, min_elements: int) -> bool:
    data = model.buffers[tensor.buffer].data
    return tensor.type == schema.TensorType.FLOAT32 and data is not None and len(data) >= 4 * min_elements


def _dequantize(model: Any, graph: Any, index: int, code: int) -> Any:
    """Adds the float16 copy, the float32 tensor computed from it, and returns the operator between them."""
    original = graph.tensors[index]
    values = np.ascontiguousarray(model.buffers[original.buffer].data, np.uint8).view("<f4")
    with np.errstate(over="ignore"):
        halves = values.astype("<f2")
    name = original.name.decode("utf-8")
    if not np.all(np.isfinite(halves[np.isfinite(values)])):
        raise InputError(
            f"a constant of {name!r} is {np.abs(values).max():.6g}, beyond float16's 65504",
            where=name,
            hint="keep this layer in float32",
        )
    half, full = schema.TensorT(), schema.TensorT()
    half.shape = full.shape = original.shape
    half.type, full.type = schema.TensorType.FLOAT16, schema.TensorType.FLOAT32
    half.hasRank = full.hasRank = original.hasRank
    half.buffer, full.buffer = add_buffer(model, halves.tobytes()), 0
    half.name, full.name = f"{name}/float16".encode(), f"{name}/float16/dequantized".encode()
    graph.tensors.extend((half, full))
    operator = schema.OperatorT()
    operator.opcodeIndex = code
    operator.inputs, operator.outputs = [len(graph.tensors) - 2], [len(graph.tensors) - 1]
    operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    operator.builtinOptions = schema.DequantizeOptionsT()
    return operator


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
