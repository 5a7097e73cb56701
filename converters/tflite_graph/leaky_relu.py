"""Writes 8-bit LEAKY_RELU with operators every NPU has: Snapdragon 7 Gen 3's compiler refuses LEAKY_RELU (as PRELU).

    LEAKY_RELU(x)   =>   MAXIMUM(QUANTIZE(x), MUL(x, alpha))     (0 < alpha < 1; no QUANTIZE where the scales are equal)

All three have LEAKY_RELU's output scale, so each value is rounded once, as it was: the same numbers, up to one step
where the two kernels round a tie differently.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.errors import InputError
from converters.tflite_graph.flatbuffer import add_buffer, dump, load, operator_code

_CONTROL_EDGES = b"model_control_dependencies"
_LARGEST = 127


def without_leaky_relu(content: bytes) -> tuple[bytes, int]:
    """The file with every int8 LEAKY_RELU rewritten, and how many there were; the same bytes where there were none.

    Raises:
        InputError: the file is damaged, or states an order of its operators by their numbers.
    """
    model = load(content)
    if any(entry.name == _CONTROL_EDGES for entry in model.metadata or ()):
        raise InputError("the file orders its operators by number, which a rewrite would change")
    changed = 0
    for graph in model.subgraphs:
        operators = []
        for operator in graph.operators or ():
            new = _rewritten(model, graph, operator)
            changed += new is not None
            operators += [operator] if new is None else new
        graph.operators = operators
    return (dump(model), changed) if changed else (content, 0)


def _rewritten(model: Any, graph: Any, operator: Any) -> list[Any] | None:
    code = model.operatorCodes[operator.opcodeIndex]
    if max(code.builtinCode, code.deprecatedBuiltinCode) != schema.BuiltinOperator.LEAKY_RELU:
        return None
    source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    alpha = float(operator.builtinOptions.alpha) if operator.builtinOptions is not None else 0.0
    if source.type != schema.TensorType.INT8 or target.type != schema.TensorType.INT8 or not 0.0 < alpha < 1.0:
        return None
    x, y = int(operator.inputs[0]), int(operator.outputs[0])
    slope = _slope(model, graph, alpha, len(target.shape if target.shape is not None else ()))
    falling = _like(graph, target, "falling")
    made = [_operator(model, "MUL", 2, [x, slope], falling, schema.MulOptionsT())]
    rising = x
    if _scales(source) != _scales(target):
        rising = _like(graph, target, "rising")
        made.append(_operator(model, "QUANTIZE", 2, [x], rising, schema.QuantizeOptionsT()))
    made.append(_operator(model, "MAXIMUM", 2, [rising, falling], y, schema.MaximumMinimumOptionsT()))
    return made


def _scales(tensor: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
    found = tensor.quantization
    return tuple(float(v) for v in found.scale), tuple(int(v) for v in found.zeroPoint)


def _like(graph: Any, original: Any, what: str) -> int:
    tensor = schema.TensorT()
    tensor.__dict__.update(original.__dict__)
    tensor.name, tensor.buffer = original.name + f"/{what}".encode(), 0
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _slope(model: Any, graph: Any, alpha: float, rank: int) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = b"slope", schema.TensorType.INT8, [1] * rank
    tensor.buffer = add_buffer(model, np.full(1, _LARGEST, np.int8).tobytes())
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = [alpha / _LARGEST], [0]
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _operator(model: Any, kind: str, version: int, inputs: list[int], output: int, options: Any) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex = operator_code(model, getattr(schema.BuiltinOperator, kind), version)
    made.inputs, made.outputs = inputs, [output]
    made.builtinOptions = options
    made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    return made
