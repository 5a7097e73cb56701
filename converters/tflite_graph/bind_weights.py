"""Turns inputs that stand for weights into constants, and computes what depends on nothing else.

TensorFlow's converter transposes the weights it is given as inputs, and moves scales and shifts of a normalisation
into the layer behind it, as operators of their own. With the values at hand they are constants again, as they are when
the converter knows the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.flatbuffer import add_buffer, operator_code
from converters.tflite_graph.fuse_constants import PLAIN, activation_of, fuse_constants, kind_of, shape_of, value_of
from converters.tflite_graph.widened_constants import drop_unused_tensors

_Operands = list[np.ndarray | None]
_OPERATOR = schema.BuiltinOperator
_KEEPS_DIMENSIONS_VERSION = 5


def bind_weights(model: Any, values: Mapping[str, np.ndarray]) -> frozenset[str]:
    """Gives the inputs named in ``values`` their values, in place.

    Args:
        model: a ``ModelT``; its first graph is changed.
        values: input name to array.

    Returns:
        The inputs whose values an operator needs that has no rule here; the model is to be made again with those as
        constants when there are any, for it was left half bound.
    """
    graph = model.subgraphs[0]
    inputs = {int(index): _plain(graph.tensors[int(index)].name) for index in graph.inputs}
    known = {index: values[name] for index, name in inputs.items() if name in values}
    origin = {index: frozenset({inputs[index]}) for index in known}
    refused: frozenset[str] = frozenset()
    kept = []
    for operator in graph.operators:
        indices = [int(index) for index in operator.inputs]
        weights = [index for index in indices if index in origin]
        names = frozenset().union(*(origin[index] for index in weights))
        operands = [value_of(model, graph, index, known) for index in indices]
        computed_later = any(value is None for value, index in zip(operands, indices, strict=True) if index >= 0)
        if not weights or computed_later:
            kept.append(operator)
            if names and kind_of(model, operator) == _OPERATOR.BATCH_MATMUL:
                refused |= frozenset() if _to_fully_connected(model, graph, operator, known, origin) else names
            continue
        fold = _FOLDS.get(kind_of(model, operator))
        if fold is None or activation_of(operator) != PLAIN:
            refused |= names
            continue
        output = int(operator.outputs[0])
        known[output] = fold(operator, operands).reshape(shape_of(graph, output)).astype(np.float32, copy=False)
        origin[output] = names
    if refused:
        return refused
    graph.operators = fuse_constants(model, graph, kept, known)
    graph.inputs = [index for index in graph.inputs if int(index) not in known]
    read = {int(index) for operator in graph.operators for index in operator.inputs} | {int(i) for i in graph.outputs}
    for index in sorted(read & known.keys()):
        # One that was computed goes as soon as it is copied into its order; the others are the caller's.
        graph.tensors[index].buffer = add_buffer(model, np.ascontiguousarray(known.pop(index)))
    for signature in model.signatureDefs or ():
        signature.inputs = [entry for entry in signature.inputs if int(entry.tensorIndex) not in origin]
    drop_unused_tensors(graph, model)
    return refused


def _to_fully_connected(
    model: Any, graph: Any, operator: Any, known: dict[int, np.ndarray], origin: dict[int, frozenset[str]]
) -> bool:
    """Rewrites a product with a weight matrix; false when it is none.

    The converter writes BATCH_MATMUL for a matrix it does not know, and FULLY_CONNECTED, which is faster and quantises,
    for a constant one.
    """
    data, matrix = (int(index) for index in operator.inputs)
    options = operator.builtinOptions
    if matrix not in known or data in known or known[matrix].ndim != 2 or options.adjX:
        return False
    transposed = len(graph.tensors)
    values = known[matrix] if options.adjY else known[matrix].T
    tensor = schema.TensorT()
    tensor.name, tensor.type = graph.tensors[matrix].name + b"/transposed", schema.TensorType.FLOAT32
    tensor.shape, tensor.hasRank, tensor.buffer = np.asarray(values.shape, np.int32), graph.tensors[matrix].hasRank, 0
    graph.tensors.append(tensor)
    known[transposed], origin[transposed] = values, origin[matrix]
    operator.inputs = [data, transposed, -1]
    operator.opcodeIndex = operator_code(model, _OPERATOR.FULLY_CONNECTED, _KEEPS_DIMENSIONS_VERSION)
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    operator.builtinOptions.keepNumDims = len(shape_of(graph, data)) > 2
    return True


def _plain(name: bytes) -> str:
    return name.decode().partition(":")[0].removeprefix("serving_default_")


def _transpose(operator: Any, operands: _Operands) -> np.ndarray:
    data, permutation = operands
    return np.transpose(data, permutation.tolist())


def _reshape(operator: Any, operands: _Operands) -> np.ndarray:
    return operands[0]


def _multiply(operator: Any, operands: _Operands) -> np.ndarray:
    return operands[0] * operands[1]


def _add(operator: Any, operands: _Operands) -> np.ndarray:
    return operands[0] + operands[1]


def _fully_connected(operator: Any, operands: _Operands) -> np.ndarray:
    """``x W^T + b``, summed in float64: it is done once."""
    data, matrix = operands[0], operands[1]
    result = data.reshape(-1, matrix.shape[1]).astype(np.float64) @ matrix.astype(np.float64).T
    return result if len(operands) < 3 or operands[2] is None else result + operands[2]


_FOLDS: dict[int, Callable[[Any, _Operands], np.ndarray]] = {
    _OPERATOR.TRANSPOSE: _transpose,
    _OPERATOR.RESHAPE: _reshape,
    _OPERATOR.MUL: _multiply,
    _OPERATOR.ADD: _add,
    _OPERATOR.FULLY_CONNECTED: _fully_connected,
}
