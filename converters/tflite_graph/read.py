"""A TFLite file as plain data: operators, tensors, constants, quantisation."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.errors import InputError
from converters.tflite_graph.control_edges import Edges, control_edges
from converters.tflite_graph.flatbuffer import content_of, load

_NUMPY = {
    "FLOAT32": np.dtype("<f4"),
    "FLOAT16": np.dtype("<f2"),
    "FLOAT64": np.dtype("<f8"),
    "INT8": np.dtype("i1"),
    "UINT8": np.dtype("u1"),
    "INT16": np.dtype("<i2"),
    "UINT16": np.dtype("<u2"),
    "INT32": np.dtype("<i4"),
    "UINT32": np.dtype("<u4"),
    "INT64": np.dtype("<i8"),
    "BOOL": np.dtype("?"),
}
_ENUMS = {
    "fused_activation_function": "ActivationFunctionType",
    "padding": "Padding",
    "weights_format": "FullyConnectedOptionsWeightsFormat",
    "mode": "MirrorPadMode",
    "type": "LSHProjectionType",
    "kernel_type": "LSTMKernelType",
    "in_data_type": "TensorType",
    "out_data_type": "TensorType",
    "output_type": "TensorType",
    "quantized_bias_type": "TensorType",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteTensor:
    """A tensor of the file.

    Attributes:
        index: its index in the subgraph.
        name: its name; contains the names of the Keras layers it stems from.
        shape: sizes, batch included.
        dtype: the schema's name, e.g. ``FLOAT32``.
        buffer: index of its buffer in the file (equal for tensors that share one).
        data: the constant's values, ``None`` when it is computed.
        scales: quantisation scales, one for each channel or one in all.
        zero_points: quantisation zero points.
        quantized_dimension: axis of the scales when there are several.
        is_variable: keeps its value between runs.
        is_sparse: stored without its zeros.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: int = 0
    data: np.ndarray | None = None
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    quantized_dimension: int = 0
    is_variable: bool = False
    is_sparse: bool = False

    @property
    def is_constant(self) -> bool:
        """Whether the file holds its values."""
        return self.data is not None

    @property
    def nbytes(self) -> int:
        """Bytes of the constant in the file, 0 when it is computed."""
        return 0 if self.data is None else int(self.data.nbytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteOp:
    """An operator of the file.

    Attributes:
        index: its position in execution order.
        kind: the schema's name, e.g. ``CONV_2D``.
        custom_code: name of a custom operator.
        version: version of the operator.
        inputs: tensor indices; -1 stands for an absent optional input.
        outputs: tensor indices.
        options: the schema's options by name in snake case, enumerations by the names of their values.
        name: name of its first output tensor.
    """

    index: int
    kind: str
    custom_code: str = ""
    version: int = 1
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteSignature:
    """A named entry point: signature name of each input and output to its tensor's index."""

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteGraph:
    """One subgraph of a file.

    Attributes:
        ops: operators in execution order.
        tensors: all tensors, by index.
        inputs: indices of the inputs.
        outputs: indices of the outputs.
        signatures: all signatures of the file, of every subgraph.
        graphs: how many subgraphs the file has.
        control_edges: pairs of operators (before, after) the file states; None when it states none.
    """

    ops: tuple[TfliteOp, ...]
    tensors: tuple[TfliteTensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signatures: tuple[TfliteSignature, ...] = ()
    graphs: int = 1
    control_edges: Edges | None = None

    def multiply_adds(self, op: TfliteOp) -> int:
        """Multiply-adds of an operator: convolutions, fully connected layers, matrix products and LSTMs; else 0."""
        shapes = [self.tensors[index].shape if index >= 0 else () for index in op.inputs]
        output = math.prod(self.tensors[op.outputs[0]].shape) if op.outputs else 0
        match op.kind, shapes:
            case "CONV_2D", [_, weights, *_]:
                return output * math.prod(weights[1:])
            case "DEPTHWISE_CONV_2D", [_, weights, *_]:
                return output * math.prod(weights[1:3])
            case "TRANSPOSE_CONV", [_, weights, data, *_]:
                return math.prod(data) * math.prod(weights[:3])
            case "FULLY_CONNECTED", [_, [*_, depth], *_]:
                return output * depth
            case "BATCH_MATMUL", [[*_, rows, columns], *_]:
                return output * (rows if op.options.get("adj_x") else columns)
            case "UNIDIRECTIONAL_SEQUENCE_LSTM", [data, *rest]:
                return math.prod(data[:-1]) * sum(math.prod(shape) for shape in rest[:8])
        return 0


def read_tflite(source: bytes | Path, *, signature: str | None = None) -> TfliteGraph:
    """Reads the first subgraph of a file, or the one of ``signature``.

    Raises:
        InputError: the file cannot be read, is no TFLite file, is damaged, or has no such signature.
    """
    content = content_of(source)
    where = str(source) if isinstance(source, Path) else ""
    model = load(content, where=where)
    signatures = tuple(_signature(item) for item in model.signatureDefs or ())
    index = 0
    if signature is not None:
        found = [item for item in signatures if item.key == signature]
        if not found:
            keys = ", ".join(item.key for item in signatures) or "none"
            raise InputError(f"the file has no signature {signature!r}", where=where, hint=f"it has: {keys}")
        index = found[0].subgraph
    graph = model.subgraphs[index]
    try:
        tensors = tuple(_tensor(model, position, item) for position, item in enumerate(graph.tensors or ()))
        ops = tuple(_op(model, position, item, tensors) for position, item in enumerate(graph.operators or ()))
    except (ValueError, KeyError, UnicodeDecodeError, TypeError) as error:
        raise InputError(
            f"the TFLite file is damaged ({error})", where=where, hint="write or fetch it again"
        ) from error
    return TfliteGraph(
        ops=ops,
        tensors=tensors,
        inputs=_ints(graph.inputs),
        outputs=_ints(graph.outputs),
        signatures=signatures,
        graphs=len(model.subgraphs),
        control_edges=control_edges(model, index),
    )


def _tensor(model: Any, index: int, tensor: Any) -> TfliteTensor:
    dtype = _names("TensorType")[tensor.type]
    shape = _ints(tensor.shape)
    raw = model.buffers[tensor.buffer].data
    data = None
    if raw is not None and len(raw):
        content = np.ascontiguousarray(raw, np.uint8)
        data = content
        if dtype in _NUMPY and tensor.sparsity is None:
            data = content.view(_NUMPY[dtype]).reshape(shape)
    quantization = tensor.quantization
    has = quantization is not None
    return TfliteTensor(
        index=index,
        name=_text(tensor.name),
        shape=shape,
        dtype=dtype,
        buffer=int(tensor.buffer),
        data=data,
        scales=tuple(float(v) for v in quantization.scale) if has and quantization.scale is not None else (),
        zero_points=_ints(quantization.zeroPoint) if has else (),
        quantized_dimension=int(quantization.quantizedDimension) if has else 0,
        is_variable=bool(tensor.isVariable),
        is_sparse=tensor.sparsity is not None,
    )


def _op(model: Any, index: int, operator: Any, tensors: tuple[TfliteTensor, ...]) -> TfliteOp:
    code = model.operatorCodes[operator.opcodeIndex]
    outputs = _ints(operator.outputs)
    return TfliteOp(
        index=index,
        kind=_kind(int(max(code.builtinCode, code.deprecatedBuiltinCode))),
        custom_code=_text(code.customCode),
        version=int(code.version),
        inputs=_ints(operator.inputs),
        outputs=outputs,
        options={**_options(operator.builtinOptions), **_options(operator.builtinOptions2)},
        name=tensors[outputs[0]].name if outputs else "",
    )


def _kind(code: int) -> str:
    """The schema's name of an operator; a file may be newer than the schema."""
    return _names("BuiltinOperator").get(code, f"BUILTIN_{code}")


def _options(options: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in (vars(options) if options is not None else {}).items():
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower()
        if name in _ENUMS and isinstance(value, (int, np.integer)):
            found[name] = _names(_ENUMS[name]).get(int(value), int(value))
        elif isinstance(value, np.ndarray):
            found[name] = value.tolist()
        elif isinstance(value, bytes):
            found[name] = value.decode("utf-8", "replace")
        else:
            found[name] = value
    return found


def _signature(item: Any) -> TfliteSignature:
    return TfliteSignature(
        key=_text(item.signatureKey),
        subgraph=int(item.subgraphIndex),
        inputs={_text(entry.name): int(entry.tensorIndex) for entry in item.inputs or ()},
        outputs={_text(entry.name): int(entry.tensorIndex) for entry in item.outputs or ()},
    )


@cache
def _names(enumeration: str) -> dict[int, str]:
    values = vars(getattr(schema, enumeration)).items()
    return {value: name for name, value in values if isinstance(value, int)}


def _text(value: bytes | str | None) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _ints(values: Any) -> tuple[int, ...]:
    return () if values is None or isinstance(values, (int, np.integer)) else tuple(int(value) for value in values)
