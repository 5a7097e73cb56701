"""Writes graphs of `small_graphs` as real .tflite files, so that TFLite itself can be asked about them."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.flatbuffer import add_buffer, dump
from converters.tflite_graph.read import TfliteGraph, TfliteOp, TfliteTensor

_NUMPY = {
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "INT8": "i1",
    "UINT8": "u1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
}

_ENUMERATIONS = {
    "fused_activation_function": schema.ActivationFunctionType,
    "padding": schema.Padding,
    "mode": schema.MirrorPadMode,
    "weights_format": schema.FullyConnectedOptionsWeightsFormat,
    "in_data_type": schema.TensorType,
    "out_data_type": schema.TensorType,
    "output_type": schema.TensorType,
}


def write(graph: TfliteGraph, *, options: dict[str, Any] | None = None) -> bytes:
    """The file of a graph.

    Args:
        graph: the graph.
        options: class of the schema's options by operator kind, for operators that have any, e.g. ``AddOptionsT``.
    """
    model, subgraph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
    subgraph.name = b"main"
    subgraph.tensors = [_tensor(model, tensor) for tensor in graph.tensors]
    subgraph.operators = [_operator(model, op, options or {}) for op in graph.ops]
    subgraph.inputs, subgraph.outputs = list(graph.inputs), list(graph.outputs)
    model.subgraphs = [subgraph]
    return dump(model)


def _tensor(model: Any, tensor: TfliteTensor) -> Any:
    made = schema.TensorT()
    made.name, made.shape = tensor.name.encode(), list(tensor.shape)
    made.type = getattr(schema.TensorType, tensor.dtype)
    made.isVariable = tensor.is_variable
    made.buffer = 0 if tensor.data is None else add_buffer(model, _bytes(tensor))
    if len(tensor.scales):
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = list(tensor.scales)
        made.quantization.zeroPoint = list(tensor.zero_points)
        made.quantization.quantizedDimension = tensor.quantized_dimension
    return made


def _bytes(tensor: TfliteTensor) -> bytes:
    data = np.asarray(tensor.data)
    return data.astype(_NUMPY.get(tensor.dtype, data.dtype)).tobytes()


def _operator(model: Any, op: TfliteOp, options: dict[str, Any]) -> Any:
    made, code = schema.OperatorT(), schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, op.kind)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), op.version
    if op.custom_code:
        code.customCode = op.custom_code.encode()
    model.operatorCodes.append(code)
    made.opcodeIndex = len(model.operatorCodes) - 1
    made.inputs, made.outputs = list(op.inputs), list(op.outputs)
    name = options.get(op.kind)
    if name is not None:
        made.builtinOptions = getattr(schema, name + "T")()
        made.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        for key, value in op.options.items():
            words = key.split("_")
            field = words[0] + "".join(word.title() for word in words[1:])
            if not hasattr(made.builtinOptions, field):
                raise ValueError(f"{name} has no {field}")
            enumeration = _ENUMERATIONS.get(key)
            setattr(
                made.builtinOptions,
                field,
                getattr(enumeration, value) if enumeration and isinstance(value, str) else value,
            )
    return made
