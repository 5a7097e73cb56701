"""Stores the weight matrices of chosen operators as 8-bit integers; what they compute with stays float32.

FULLY_CONNECTED and CONV_2D keep their float input and get int8 weights with a scale for each output (TensorFlow Lite's
hybrid kernels round the input while running: row by row, and as a whole for a convolution). GATHER of a constant table
becomes EMBEDDING_LOOKUP, which widens only the rows it is asked for. Nothing depends on data, so equal weights give
equal buffers in every bucket of a part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.buffers import compact
from converters.tflite_graph.flatbuffer import add_buffer, dump, load, operator_code
from converters.tflite_graph.read import TfliteOp, read_tflite
from converters.tflite_graph.widened_constants import drop_unused_tensors

_LARGEST = 127
_FULLY_CONNECTED_VERSION = 12  # int8 weights by output channel beside a float input
_CONVOLUTION_VERSION = 5  # likewise
_LOOKUP_VERSION = 4  # rows of an 8-bit table, each with its scale


def int8_weights(content: bytes, select: Callable[[TfliteOp], bool]) -> bytes:
    """The file with the weight matrices of the operators ``select`` chooses stored as int8.

    Operators that hold no float32 matrix, or are of another kind, stay as they are.

    Args:
        content: a file; its first graph is changed.
        select: told each operator; true chooses it.

    Raises:
        InputError: the file is damaged.
    """
    chosen = [op for op in read_tflite(content).ops if select(op)]
    model = load(content)
    graph = model.subgraphs[0]
    stored: dict[int, int] = {}
    for op in chosen:
        operator = graph.operators[op.index]
        place = {"FULLY_CONNECTED": 1, "CONV_2D": 1, "GATHER": 0}.get(op.kind)
        if place is None or not _is_matrix(model, graph.tensors[operator.inputs[place]]):
            continue
        if not _FITS.get(op.kind, _always)(graph, operator):
            continue
        index = int(operator.inputs[place])
        if index not in stored:
            stored[index] = _quantised(model, graph, index)
        operator.inputs = [stored[index] if n == place else int(i) for n, i in enumerate(operator.inputs)]
        if op.kind == "GATHER":
            _to_lookup(model, operator)
        elif op.kind == "CONV_2D":
            operator.opcodeIndex = operator_code(model, schema.BuiltinOperator.CONV_2D, _CONVOLUTION_VERSION)
        else:
            operator.opcodeIndex = operator_code(
                model, schema.BuiltinOperator.FULLY_CONNECTED, _FULLY_CONNECTED_VERSION
            )
            # The input's range is seldom symmetric (after ReLU it is never): a zero point saves a bit.
            operator.builtinOptions.asymmetricQuantizeInputs = True
    drop_unused_tensors(graph, model)
    compact(model)
    return dump(model)


def rounded_rows(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix as int8 rows and their scales.

    Args:
        matrix: ``[rows, columns] float32``.

    Returns:
        ``[rows, columns] int8`` in -127..127, and ``[rows] float32``.
    """
    peaks = np.abs(matrix).max(axis=1)
    scales = (np.where(peaks > 0, peaks, 1.0) / _LARGEST).astype(np.float32)
    rounded = np.clip(np.rint(matrix / scales[:, None]), -_LARGEST, _LARGEST)
    return rounded.astype(np.int8), scales


def _is_matrix(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return (
        tensor.type == schema.TensorType.FLOAT32 and len(tensor.shape) in (2, 4) and data is not None and len(data) > 0
    )


def _always(graph: Any, operator: Any) -> bool:
    return True


def _is_plain_convolution(graph: Any, operator: Any) -> bool:
    """Whether the hybrid kernels compute it: they know neither dilation nor groups."""
    options = operator.builtinOptions
    data, kernel = (graph.tensors[operator.inputs[n]] for n in (0, 1))
    return options.dilationWFactor == options.dilationHFactor == 1 and data.shape[3] == kernel.shape[3]


def _is_lookup(graph: Any, operator: Any) -> bool:
    """Whether a GATHER takes whole rows by a list of ids."""
    ids, options = graph.tensors[operator.inputs[1]], operator.builtinOptions
    return len(ids.shape) == 1 and ids.type == schema.TensorType.INT32 and not (options.axis or options.batchDims)


_FITS: Final = {"GATHER": _is_lookup, "CONV_2D": _is_plain_convolution}


def _to_lookup(model: Any, operator: Any) -> None:
    table, ids = (int(index) for index in operator.inputs)
    operator.inputs = [ids, table]
    operator.opcodeIndex = operator_code(model, schema.BuiltinOperator.EMBEDDING_LOOKUP, _LOOKUP_VERSION)
    operator.builtinOptionsType = schema.BuiltinOptions.NONE
    operator.builtinOptions = None


def _quantised(model: Any, graph: Any, index: int) -> int:
    """Adds the int8 copy of a constant and returns its index."""
    original = graph.tensors[index]
    values = np.ascontiguousarray(model.buffers[original.buffer].data, np.uint8).view("<f4")
    rounded, scales = rounded_rows(values.reshape(int(original.shape[0]), -1))
    tensor = schema.TensorT()
    tensor.shape, tensor.hasRank, tensor.type = original.shape, original.hasRank, schema.TensorType.INT8
    tensor.name = original.name + b"/int8"
    tensor.buffer = add_buffer(model, rounded.tobytes())
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = scales
    tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
    tensor.quantization.quantizedDimension = 0
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
