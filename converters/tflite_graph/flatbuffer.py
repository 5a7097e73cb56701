"""Reads and writes TFLite files as objects; writing is deterministic and keeps buffers aligned."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters import memory
from converters.errors import InputError
from converters.tflite_graph.consistency import check
from converters.tflite_graph.verify import verify

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
            content = np.ascontiguousarray(self.data, np.uint8)
            builder.StartVector(1, len(content), 16)
            builder.head -= len(content)
            np.frombuffer(builder.Bytes, np.uint8)[builder.head : builder.head + len(content)] = content
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
        if source.exists() and not source.is_file():
            raise InputError("not a file", where=str(source), hint="pass a .tflite file")
        return source.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the TFLite file: {error}", where=str(source)) from error


def load(content: bytes, *, where: str = "") -> Any:
    """The file as a ``ModelT``, every offset and number in it checked before it is followed.

    Raises:
        InputError: not a TFLite file, damaged, or keeping its weights elsewhere.
    """
    if len(content) < 16 or content[4:8] != _IDENTIFIER:
        raise InputError("not a TFLite file (its identifier is missing)", where=where, hint="pass a .tflite file")
    try:
        verify(content)
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        check(model)
        _read_data_behind_the_graph(model, content)
    except _DAMAGED as error:
        detail = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise InputError(
            f"the TFLite file is damaged ({detail})", where=where, hint="write or fetch it again"
        ) from error
    if any(getattr(tensor, "externalBuffer", 0) for graph in model.subgraphs for tensor in graph.tensors or ()):
        raise InputError(
            "the TFLite file keeps weights in other files, which are not read",
            where=where,
            hint="write the model into one file",
        )
    return model


def _read_data_behind_the_graph(model: Any, content: bytes) -> None:
    """Files over 2 GB keep their buffers behind the flatbuffer; gives each buffer its bytes."""
    for buffer in model.buffers:
        if buffer.offset <= 1:
            continue
        if buffer.offset + buffer.size > len(content):
            raise ValueError(f"a buffer of {buffer.size} bytes at byte {buffer.offset} reaches outside the file")
        buffer.data = np.frombuffer(content, np.uint8, int(buffer.size), int(buffer.offset))


def dump(model: Any) -> bytes:
    """The bytes of a ``ModelT``; equal objects give equal bytes."""
    model.buffers = [_aligned(buffer) for buffer in model.buffers]
    written: dict[Any, int] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors or ():
            if tensor.quantization is not None:
                tensor.quantization = _SharedQuantization(tensor.quantization, written)
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(size + (1 << 20))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    del model  # where nobody else holds it, its weights go before the next copy of them is made
    if size >= memory.LARGE_MODEL_BYTES:
        memory.release_unused_memory(size)  # freed blocks that had taken the place of earlier ones are kept otherwise
    return bytes(memoryview(builder.Bytes)[builder.Head() :])


def _aligned(buffer: Any) -> _AlignedBuffer:
    if buffer.offset > 1 or buffer.size > 1:
        raise InputError("the TFLite file keeps buffers outside the flatbuffer (over 2 GB)", hint="split the model")
    aligned = _AlignedBuffer()
    aligned.data = buffer.data if buffer.data is not None and len(buffer.data) else None
    return aligned


def add_buffer(model: Any, data: bytes | np.ndarray) -> int:
    """Appends a buffer and returns its index."""
    buffer = schema.BufferT()
    whole = data if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
    buffer.data = np.ascontiguousarray(whole).reshape(-1).view(np.uint8)
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
