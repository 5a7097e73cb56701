"""Which operators of a graph write and read a tensor, and operators that only change how a value is stored."""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.flatbuffer import operator_code


def maker(graph: Any, tensor: int) -> int | None:
    """Position of the operator that writes a tensor; none does for inputs and constants."""
    return next((i for i, o in enumerate(graph.operators) if tensor in [int(value) for value in o.outputs]), None)


def readers(graph: Any, tensor: int) -> list[int]:
    """Positions of the operators that read a tensor."""
    return [index for index, operator in enumerate(graph.operators) if tensor in [int(v) for v in operator.inputs]]


def restating(model: Any, kind: int, source: int, target: int) -> Any:
    """A new QUANTIZE or DEQUANTIZE (``kind``) between two tensors; the caller places it."""
    operator = schema.OperatorT()
    operator.opcodeIndex = operator_code(model, kind, 1)
    operator.inputs, operator.outputs = [source], [target]
    return operator
