"""Small healthy files: convolutions in float, int8 and float16, several graphs, a custom operator, a signature."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.flatbuffer import add_buffer, dump, load
from converters.tflite_graph.read import TfliteGraph
from tests.toolkit.delegates.small_graphs import graph, op, tensor, weights
from tests.toolkit.delegates.written_files import write

_OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "ADD": "AddOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "RESHAPE": "ReshapeOptions",
    "WHILE": "WhileOptions",
    "LESS": "LessOptions",
}
_STRIDES: dict[str, Any] = {"padding": "VALID", "stride_w": 1, "stride_h": 1}
_CONVOLUTION = {
    **_STRIDES,
    "fused_activation_function": "NONE",
    "dilation_w_factor": 1,
    "dilation_h_factor": 1,
}


def _net(dtype: str) -> TfliteGraph:
    """Convolution, activation, transposed convolution, addition, reshape."""
    quantised = {"scales": (0.5,), "zero_points": (0,)} if dtype == "INT8" else {}
    kernel = weights(4, 1, 3, 4)
    bias = np.zeros(4, np.int32 if dtype == "INT8" else np.float32)
    stored = np.int8 if dtype == "INT8" else np.float32
    tensors = [
        tensor(0, (1, 1, 8, 4), dtype, **quantised),
        tensor(1, (4, 1, 3, 4), dtype, kernel.astype(stored), **quantised),
        tensor(2, (4,), "INT32" if dtype == "INT8" else "FLOAT32", bias, scales=(0.25,), zero_points=(0,)),
        tensor(3, (1, 1, 6, 4), dtype, **quantised),
        tensor(4, (1, 1, 6, 4), dtype, **quantised),
        tensor(5, (4,), "INT32", np.array([1, 1, 8, 4], np.int32)),
        tensor(6, (1, 1, 8, 4), dtype, **quantised),
        tensor(7, (1, 1, 8, 4), dtype, **quantised),
        tensor(8, (2,), "INT32", np.array([1, 32], np.int32)),
        tensor(9, (1, 32), dtype, **quantised),
    ]
    ops = [
        op(0, "CONV_2D", (0, 1, 2), (3,), **_CONVOLUTION),
        op(1, "LEAKY_RELU", (3,), (4,), alpha=0.1),
        op(2, "TRANSPOSE_CONV", (5, 1, 4), (6,), 1, **_STRIDES),
        op(3, "ADD", (6, 0), (7,), fused_activation_function="NONE"),
        op(4, "RESHAPE", (7, 8), (9,), new_shape=[1, 32]),
    ]
    return graph(tensors, ops)


def _half() -> TfliteGraph:
    """A convolution whose weights are float16 constants behind DEQUANTIZE."""
    tensors = [
        tensor(0, (1, 1, 8, 4)),
        tensor(1, (4, 1, 3, 4), "FLOAT16", weights(4, 1, 3, 4).astype(np.float16)),
        tensor(2, (4, 1, 3, 4)),
        tensor(3, (4,), data=np.zeros(4, np.float32)),
        tensor(4, (1, 1, 6, 4)),
    ]
    ops = [op(0, "DEQUANTIZE", (1,), (2,)), op(1, "CONV_2D", (0, 2, 3), (4,), **_CONVOLUTION)]
    return graph(tensors, ops)


def _loop() -> bytes:
    """Three graphs: WHILE (count < 3) count + 1, with a signature and metadata."""
    counter = tensor(0, (1,))
    main = write(
        graph([counter, tensor(1, (1,))], [op(0, "WHILE", (0,), (1,), cond_subgraph_index=1, body_subgraph_index=2)]),
        options=_OPTIONS,
    )
    three = tensor(1, (1,), data=np.array([3.0], np.float32))
    one = tensor(1, (1,), data=np.array([1.0], np.float32))
    condition = write(graph([counter, three, tensor(2, (1,), "BOOL")], [op(0, "LESS", (0, 1), (2,))]), options=_OPTIONS)
    add = op(0, "ADD", (0, 1), (2,), fused_activation_function="NONE")
    body = write(graph([counter, one, tensor(2, (1,))], [add]), options=_OPTIONS)
    model = schema.ModelT.InitFromPackedBuf(bytearray(main), 0)  # its other graphs are still missing
    for content in (condition, body):
        other = load(content)
        for each in other.subgraphs[0].tensors:
            if each.buffer:
                model.buffers.append(other.buffers[each.buffer])
                each.buffer = len(model.buffers) - 1
        model.operatorCodes += other.operatorCodes
        other.subgraphs[0].operators[0].opcodeIndex = len(model.operatorCodes) - 1
        model.subgraphs.append(other.subgraphs[0])
    model.signatureDefs = [_signature()]
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"note", add_buffer(model, b"hello")
    model.metadata = [entry]
    return dump(model)


def _signature() -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs, signature.outputs = [], []
    for side, name, index in ((signature.inputs, b"count", 0), (signature.outputs, b"counted", 1)):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        side.append(entry)
    return signature


def _custom() -> bytes:
    from dataclasses import replace

    made = replace(op(1, "CUSTOM", (1,), (2,)), custom_code="FlexSomething")
    return write(graph([tensor(0), tensor(1), tensor(2)], [op(0, "TANH", (0,), (1,)), made]))


def originals() -> dict[str, bytes]:
    """Name to file."""
    return {
        "float": write(_net("FLOAT32"), options=_OPTIONS),
        "int8": write(_net("INT8"), options=_OPTIONS),
        "half": write(_half(), options=_OPTIONS),
        "loop": _loop(),
        "custom": _custom(),
    }
