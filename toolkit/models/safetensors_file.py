"""Reads and writes ``.safetensors`` files: eight bytes of length, a JSON header, then every tensor at the offsets the
header names. Nothing in such a file is run; everything in it is checked before it is used.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.whole_file import whole_file

_MOST_HEADER_BYTES: Final = 100 << 20
_METADATA: Final = "__metadata__"
_ALIGNMENT: Final = 8
_DTYPES: Final = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
                  "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8, "BOOL": torch.bool}  # fmt: skip
_WRITTEN: Final = {torch.float32: "F32", torch.float16: "F16", torch.uint8: "U8"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SafetensorsFile:
    """What a file holds.

    Attributes:
        tensors: name to tensor, floats in float32.
        metadata: texts beside them.
        sha256: of the file.
    """

    tensors: Mapping[str, Tensor] = field(repr=False)
    metadata: Mapping[str, str] = field(repr=False)
    sha256: str


def read_safetensors(file: Path) -> SafetensorsFile:
    """Reads an untrusted file.

    Raises:
        CheckpointError: it is missing, or not what it says.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"it cannot be read: {error.strerror or error}", code="checkpoint/not-found", where=str(file)
        ) from error
    try:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > min(_MOST_HEADER_BYTES, len(data) - 8):
            raise ValueError("its header is longer than the file")
        header = json.loads(data[8 : 8 + length])
        metadata = header.pop(_METADATA, {})
        if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError(f"its {_METADATA} holds more than texts")
        body = memoryview(data)[8 + length :]
        loaded = {name: _stored_tensor(fact, body) for name, fact in header.items()}
        if not loaded:
            raise ValueError("it holds no tensor")
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, RecursionError) as error:
        raise CheckpointError(
            f"it is no safetensors file: {str(error)[:120]}", code="checkpoint/damaged", where=str(file),
            hint="download or copy the file again",
        ) from error  # fmt: skip
    return SafetensorsFile(tensors=loaded, metadata=metadata, sha256=hashlib.sha256(data).hexdigest())


def write_safetensors(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Writes a file whole or not at all; the same content gives the same bytes.

    Args:
        file: where.
        tensors: float32, float16 or uint8, in the order they are stored.
        metadata: texts beside them.
    """
    header: dict[str, Any] = {_METADATA: dict(sorted(metadata.items()))}
    pieces, end = [], 0
    for name, tensor in tensors.items():
        piece = tensor.detach().cpu().contiguous().numpy().tobytes()
        header[name] = {
            "dtype": _WRITTEN[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [end, end + len(piece)],
        }  # fmt: skip
        pieces.append(piece)
        end += len(piece)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as scratch:
        scratch.write_bytes(b"".join([len(text).to_bytes(8, "little"), text, *pieces]))
    return file


def _stored_tensor(fact: Mapping[str, Any], body: memoryview) -> Tensor:
    dtype, shape = _DTYPES[fact["dtype"]], [int(size) for size in fact["shape"]]
    begin, end = (int(offset) for offset in fact["data_offsets"])
    count = math.prod(shape)
    if len(shape) > 8 or min(shape, default=0) < 0 or not 0 <= begin <= end <= len(body):
        raise ValueError(f"a tensor of shape {shape} at {begin}..{end}")
    if end - begin != count * dtype.itemsize:
        raise ValueError(f"a tensor of shape {shape} has {end - begin} bytes")
    if not count:
        return torch.zeros(shape)
    stored = torch.frombuffer(bytearray(body[begin:end]), dtype=dtype).reshape(shape)
    return stored.to(torch.float32) if stored.is_floating_point() else stored
