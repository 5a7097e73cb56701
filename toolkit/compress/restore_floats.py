"""Gives float operators their float weights back.

With quantisation on, TensorFlow's converter stores the weights of float transposed convolutions in 8 bits and leaves
the activations in float ("hybrid"). NNAPI refuses such operators and nobody asked for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from converters.tflite_graph.buffers import compact
from converters.tflite_graph.flatbuffer import add_buffer, dump, load
from converters.tflite_graph.read import TfliteGraph, TfliteOp, read_tflite
from toolkit.compress.precision import PrecisionPlan
from toolkit.errors import AuditError

if TYPE_CHECKING:
    import tf_keras

_KERNEL_INPUT = {"TRANSPOSE_CONV": 1, "CONV_2D": 1, "FULLY_CONNECTED": 1, "DEPTHWISE_CONV_2D": 1}
_LAYOUT = {"Conv2DTranspose": (2, 0, 1, 3), "Conv2D": (3, 0, 1, 2), "Dense": (1, 0)}
_FLOAT32 = 0


def restore_floats(content: bytes, model: tf_keras.Model, plan: PrecisionPlan) -> bytes:
    """The file with the float32 kernels of ``model`` in its hybrid operators.

    Raises:
        AuditError: a hybrid operator's kernel cannot be found in the model.
    """
    graph = read_tflite(content)
    hybrid = [op for op in graph.ops if _is_hybrid(op, graph)]
    if not hybrid:
        return content
    model_object = load(content)
    subgraph = model_object.subgraphs[0]
    for op in hybrid:
        index = op.inputs[_KERNEL_INPUT[op.kind]]
        tensor = subgraph.tensors[index]
        kernel = _kernel(op, graph, model)
        tensor.buffer = add_buffer(model_object, np.ascontiguousarray(kernel, "<f4").tobytes())
        tensor.type, tensor.quantization = _FLOAT32, None
    compact(model_object)
    return dump(model_object)


def _is_hybrid(op: TfliteOp, graph: TfliteGraph) -> bool:
    if op.kind not in _KERNEL_INPUT:
        return False
    kernel = graph.tensors[op.inputs[_KERNEL_INPUT[op.kind]]]
    return kernel.dtype == "INT8" and graph.tensors[op.outputs[0]].dtype == "FLOAT32"


def _kernel(op: TfliteOp, graph: TfliteGraph, model: tf_keras.Model) -> np.ndarray:
    """The kernel of the layer the operator is named after, in TensorFlow Lite's layout."""
    stored = graph.tensors[op.inputs[_KERNEL_INPUT[op.kind]]]
    known: dict[str, Any] = {layer.name: layer for layer in model.layers if type(layer).__name__ in _LAYOUT}
    for name in sorted(known, key=len, reverse=True):
        layer = known[name]
        if name not in op.name:
            continue
        kernel = layer.get_weights()[0].transpose(_LAYOUT[type(layer).__name__])
        if kernel.shape == stored.shape:
            return kernel
    raise AuditError(
        f"the converter gave a float {op.kind} 8-bit weights, and their layer was not found",
        where=op.name,
        hint="ask int8 of this layer, or report the model",
    )
