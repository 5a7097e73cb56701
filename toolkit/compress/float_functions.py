"""Gives functions that were asked to be float, and stand behind an 8-bit layer, their float values back.

TANH, LOGISTIC and SOFTMAX have a fixed 8-bit scale, which TensorFlow's converter uses wherever their input is 8-bit,
whatever was asked of them:

    Conv 8 bits -> TANH 8 bits -> DEQUANTIZE     =>     Conv 8 bits -> DEQUANTIZE -> TANH -> QUANTIZE -> DEQUANTIZE

The rounding behind the function is left for those that read it in 8 bits; where nobody does,
`without_pointless_rounding` takes it out.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph import additions
from converters.tflite_graph.flatbuffer import dump, load
from converters.tflite_graph.fuse_constants import kind_of
from toolkit.compress.audit import operators_asking
from toolkit.compress.precision import PrecisionPlan

_BUILTIN: Final = schema.BuiltinOperator
_FIXED_SCALE: Final = frozenset({_BUILTIN.TANH, _BUILTIN.LOGISTIC, _BUILTIN.SOFTMAX})


def restore_float_functions(content: bytes, plan: PrecisionPlan) -> bytes:
    """The file in which tanh, sigmoid and softmax compute in float unless 8 bits were asked of them.

    Args:
        content: a file of one graph.
        plan: what was asked of its operators.

    Returns:
        The same bytes where none of them computes in 8 bits unasked.
    """
    model = load(content)
    (graph,) = model.subgraphs
    rounded = {
        index
        for index, operator in enumerate(graph.operators)
        if kind_of(model, operator) in _FIXED_SCALE
        and graph.tensors[operator.outputs[0]].type == schema.TensorType.INT8
    }
    unasked = rounded - operators_asking(content, plan, "int8") if rounded else rounded
    if not unasked:
        return content
    operators: list[Any] = []
    for index, operator in enumerate(graph.operators):
        operators += _in_float(model, graph, operator) if index in unasked else [operator]
    graph.operators = operators
    return dump(model)


def _in_float(model: Any, graph: Any, operator: Any) -> list[Any]:
    """The operator on float values, between a DEQUANTIZE and a QUANTIZE that keeps its readers as they were."""
    entered, left = int(operator.inputs[0]), int(operator.outputs[0])
    value, result = (_float_twin(graph, tensor) for tensor in (entered, left))
    operator.inputs, operator.outputs = [value], [result]
    return [
        additions.operator(model, "DEQUANTIZE", [entered], value),
        operator,
        additions.operator(model, "QUANTIZE", [result], left),
    ]


def _float_twin(graph: Any, tensor: int) -> int:
    """A new float tensor of the name and shape of an 8-bit one; names are how operators find their layers."""
    twin = copy.copy(graph.tensors[tensor])
    twin.type, twin.quantization, twin.buffer = schema.TensorType.FLOAT32, None, 0
    graph.tensors.append(twin)
    return len(graph.tensors) - 1
