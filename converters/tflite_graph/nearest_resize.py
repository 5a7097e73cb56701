"""Writes 16-bit RESIZE_NEAREST_NEIGHBOR along time as copies: Snapdragon 7 Gen 3's compiler refuses it in 16 bits.

    RESIZE_NEAREST_NEIGHBOR [1,1,T,C] -> [1,1,T*r,C]
        =>   RESHAPE [1,T,1,C], CONCATENATION of it r times [1,T,r,C], RESHAPE [1,1,T*r,C]

Values are moved and none is computed: the same numbers to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.additions import constant, operator, tensor_like
from converters.tflite_graph.replace import replaced_operators


def without_wide_nearest_resize(content: bytes) -> tuple[bytes, int]:
    """The file with int16 nearest resizes along time rewritten, and how many; the same bytes where there were none.

    Raises:
        InputError: the file is damaged, or states an order of its operators by their numbers.
    """
    return replaced_operators(content, "RESIZE_NEAREST_NEIGHBOR", _rewritten)


def _rewritten(model: Any, graph: Any, found: Any) -> list[Any] | None:
    x, y = int(found.inputs[0]), int(found.outputs[0])
    source, target = graph.tensors[x], graph.tensors[y]
    before, after = ([int(size) for size in tensor.shape] for tensor in (source, target))
    options = found.builtinOptions
    shifted = options is not None and (options.alignCorners or options.halfPixelCenters)
    along_time = before[:2] == [1, 1] and after[1] == 1 and after[2] % before[2] == 0
    if source.type != schema.TensorType.INT16 or shifted or not along_time:
        return None
    (_, _, length, channels), copies = before, after[2] // before[2]
    upright = tensor_like(graph, source, "upright", [1, length, 1, channels])
    repeated = tensor_like(graph, source, "repeated", [1, length, copies, channels])
    side_by_side = schema.ConcatenationOptionsT()
    side_by_side.axis = 2
    return [
        _reshape(model, graph, x, upright, [1, length, 1, channels]),
        operator(model, "CONCATENATION", [upright] * copies, repeated, version=3, options=side_by_side),
        _reshape(model, graph, repeated, y, after),
    ]


def _reshape(model: Any, graph: Any, source: int, target: int, shape: list[int]) -> Any:
    wanted = constant(model, graph, "shape", np.asarray(shape, np.int32), schema.TensorType.INT32)
    options = schema.ReshapeOptionsT()
    options.newShape = shape
    return operator(model, "RESHAPE", [source, wanted], target, options=options)
