"""Writes 8-bit LEAKY_RELU with operators every NPU has: Snapdragon 7 Gen 3's compiler refuses LEAKY_RELU (as PRELU).

    LEAKY_RELU(x)   =>   MAXIMUM(QUANTIZE(x), MUL(x, alpha))     (0 < alpha < 1; no QUANTIZE where the scales are equal)

All three have LEAKY_RELU's output scale, so each value is rounded once, as it was: the same numbers, up to one step
where the two kernels round a tie differently. In 16 bits the compiler takes it as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.additions import constant, operator, tensor_like
from converters.tflite_graph.replace import replaced_operators

_LARGEST = 127


def without_leaky_relu(content: bytes) -> tuple[bytes, int]:
    """The file with every int8 LEAKY_RELU rewritten, and how many there were; the same bytes where there were none.

    Raises:
        InputError: the file is damaged, or states an order of its operators by their numbers.
    """
    return replaced_operators(content, "LEAKY_RELU", _rewritten)


def _rewritten(model: Any, graph: Any, found: Any) -> list[Any] | None:
    source, target = graph.tensors[found.inputs[0]], graph.tensors[found.outputs[0]]
    alpha = float(found.builtinOptions.alpha) if found.builtinOptions is not None else 0.0
    if source.type != schema.TensorType.INT8 or target.type != schema.TensorType.INT8 or not 0.0 < alpha < 1.0:
        return None
    x, y = int(found.inputs[0]), int(found.outputs[0])
    one = np.full([1] * len(target.shape if target.shape is not None else ()), _LARGEST, np.int8)
    slope = constant(model, graph, "slope", one, schema.TensorType.INT8, scales=[alpha / _LARGEST])
    falling = tensor_like(graph, target, "falling")
    made = [operator(model, "MUL", [x, slope], falling, version=2, options=schema.MulOptionsT())]
    rising = x
    if _scales(source) != _scales(target):
        rising = tensor_like(graph, target, "rising")
        made.append(operator(model, "QUANTIZE", [x], rising, version=2, options=schema.QuantizeOptionsT()))
    maximum = schema.MaximumMinimumOptionsT()
    return [*made, operator(model, "MAXIMUM", [rising, falling], y, version=2, options=maximum)]


def _scales(tensor: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
    found = tensor.quantization
    return tuple(float(v) for v in found.scale), tuple(int(v) for v in found.zeroPoint)
