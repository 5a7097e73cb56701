"""Reads and writes TFLite files as objects; writing is deterministic and keeps buffers aligned."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.errors import InputError

_IDENTIFIER = b"TFL3"
# What Python raises on a buffer whose offsets point nowhere.
_DAMAGED = (
    struct.error,
    IndexError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)


class _AlignedBuffer(schema.BufferT):
    """A buffer written the way the schema asks (``force_align: 16``), which the Python generator leaves out."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 (name given by flatbuffers)
        data = None
        if self.data is not None and len(self.data):
            content = np.ascontiguousarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(content), 16)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


class _SharedQuantization(schema.QuantizationParametersT):
    """Scales written once however many tensors have them: every bucket of a part has those of all its weights."""

    def __init__(self, original: schema.QuantizationParametersT, written: dict[Any, int]) -> None:
        super().__init__()
        self.__dict__.update(original.__dict__)
        self.written = written

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 (name given by flatbuffers)
        if self.details is not None or self.min is not None or self.max is not None:
            return super().Pack(builder)
        scale = self._vector(builder, self.scale, np.float32)
        zero_point = self._vector(builder, self.zeroPoint, np.int64)
        key = (scale, zero_point, int(self.quantizedDimension))
        if key not in self.written:
            schema.QuantizationParametersStart(builder)
            if scale is not None:
                schema.QuantizationParametersAddScale(builder, scale)
            if zero_point is not None:
                schema.QuantizationParametersAddZeroPoint(builder, zero_point)
            schema.QuantizationParametersAddQuantizedDimension(builder, int(self.quantizedDimension))
            self.written[key] = schema.QuantizationParametersEnd(builder)
        return self.written[key]

    def _vector(self, builder: flatbuffers.Builder, values: Any, dtype: type[np.generic]) -> int | None:
        if values is None or not len(values):
            return None
        array = np.asarray(values, dtype)
        key = (array.dtype.str, array.tobytes())
        if key not in self.written:
            self.written[key] = builder.CreateNumpyVector(array)
        return self.written[key]


def content_of(source: bytes | Path) -> bytes:
    """The bytes of a file, or ``source`` itself.

    Raises:
        InputError: the file cannot be read.
    """
    if not isinstance(source, Path):
        return bytes(source)
    try:
        return source.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the TFLite file: {error}", where=str(source)) from error


def load(content: bytes, *, where: str = "") -> Any:
    """The file as a ``ModelT``.

    Raises:
        InputError: not a TFLite file, or damaged.
    """
    if len(content) < 16 or content[4:8] != _IDENTIFIER:
        raise InputError("not a TFLite file (its identifier is missing)", where=where, hint="pass a .tflite file")
    try:
        model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
        _check(model)
    except _DAMAGED as error:
        raise InputError(
            f"the TFLite file is damaged ({type(error).__name__}: {error})", where=where, hint="write or fetch it again"
        ) from error
    return model


def _check(model: Any) -> None:
    """Raises ``ValueError`` when an index points outside its table."""
    if not model.subgraphs or not model.buffers or model.operatorCodes is None:
        raise ValueError("no graph")
    for graph in model.subgraphs:
        count = len(graph.tensors or ())
        for tensor in graph.tensors or ():
            if not 0 <= tensor.buffer < len(model.buffers):
                raise ValueError("a tensor names a buffer that is not there")
            tensor.name = tensor.name or b""
            tensor.name.decode("utf-8")
        for operator in graph.operators or ():
            if not 0 <= operator.opcodeIndex < len(model.operatorCodes):
                raise ValueError("an operator names a code that is not there")
            _check_indices(operator.inputs, count, optional=True)
            _check_indices(operator.outputs, count, optional=False)
        _check_indices(graph.inputs, count, optional=False)
        _check_indices(graph.outputs, count, optional=False)
    for signature in model.signatureDefs or ():
        if not 0 <= signature.subgraphIndex < len(model.subgraphs):
            raise ValueError("a signature names a graph that is not there")


def _check_indices(indices: Any, count: int, *, optional: bool) -> None:
    values = np.asarray(indices if indices is not None else (), np.int64)
    if values.size and (values.min() < (-1 if optional else 0) or values.max() >= count):
        raise ValueError("an operator names a tensor that is not there")


def dump(model: Any) -> bytes:
    """The bytes of a ``ModelT``; the same object gives the same bytes."""
    model.buffers = [_aligned(buffer) for buffer in model.buffers]
    written: dict[Any, int] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors or ():
            if tensor.quantization is not None:
                tensor.quantization = _SharedQuantization(tensor.quantization, written)
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(size + (1 << 20))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def _aligned(buffer: Any) -> _AlignedBuffer:
    if buffer.offset > 1 or buffer.size > 1:
        raise InputError("the TFLite file keeps buffers outside the flatbuffer (over 2 GB)", hint="split the model")
    aligned = _AlignedBuffer()
    aligned.data = buffer.data if buffer.data is not None and len(buffer.data) else None
    return aligned


def add_buffer(model: Any, data: bytes | np.ndarray) -> int:
    """Appends a buffer and returns its index."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(bytes(data), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def operator_code(model: Any, builtin: int, version: int) -> int:
    """Index of an operator code, appended when the model has none of that version."""
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin and code.version == version:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
