"""Operators and tensors a rewrite adds to a TFLite graph; the caller places the operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.flatbuffer import add_buffer, operator_code


def operator(
    model: Any, kind: str, inputs: Sequence[int], output: int, *, version: int = 1, options: Any | None = None
) -> Any:
    """A new operator.

    Args:
        model: the file; it gets the operator's code where it has none of that version.
        kind: name of the operator, e.g. ``MUL``.
        inputs: tensors it reads.
        output: tensor it writes.
        version: of the operator.
        options: object of the schema, e.g. ``MulOptionsT()``; none for operators without.
    """
    made = schema.OperatorT()
    made.opcodeIndex = operator_code(model, getattr(schema.BuiltinOperator, kind), version)
    made.inputs, made.outputs = list(inputs), [output]
    if options is not None:
        made.builtinOptions = options
        made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    return made


def tensor_like(graph: Any, original: Any, what: str, shape: Sequence[int] | None = None) -> int:
    """Adds a computed tensor of another's type and scale.

    Args:
        graph: it is added to.
        original: the other tensor.
        what: ends the name.
        shape: its shape; the other's when left out.

    Returns:
        Its index.
    """
    tensor = schema.TensorT()
    tensor.__dict__.update(original.__dict__)
    tensor.name, tensor.buffer = original.name + f"/{what}".encode(), 0
    if shape is not None:
        tensor.shape, tensor.shapeSignature = np.asarray(shape, np.int32), None
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def constant(
    model: Any, graph: Any, name: str, values: np.ndarray, dtype: int, *, scales: Sequence[float] | np.ndarray = ()
) -> int:
    """Adds a constant and returns its index.

    Args:
        model: gets its values.
        graph: it is added to.
        name: of the tensor.
        values: as they are stored.
        dtype: the schema's number of their type.
        scales: one, or one for each channel of the first axis, where it is quantised; zero points are 0.
    """
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = name.encode(), dtype, np.asarray(values.shape, np.int32)
    tensor.buffer = add_buffer(model, np.ascontiguousarray(values).tobytes())
    if len(scales):
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.asarray(scales, np.float32)
        tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
