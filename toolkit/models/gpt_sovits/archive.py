"""The archive ``torch.save`` writes: bounds, header of upstream's newer versions, and tensors as they are asked for.

Source: ``process_ckpt.py`` of upstream (two bytes in place of ``PK``) and the layout of PyTorch's zip serialisation.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import torch

from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.inert_pickle import MOST_BYTES, TensorRecord, read_pickle

HEADERS: Final = {
    b"00": "v1", b"01": "v2", b"02": "v3", b"03": "v3 LoRA", b"04": "v4 LoRA", b"05": "v2Pro", b"06": "v2ProPlus",
}  # fmt: skip
"""What stands in place of ``PK``, and the version it means."""

_MOST_FILE_BYTES: Final = 4 << 30
_MOST_ENTRIES: Final = 100_000
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, ValueError, KeyError, EOFError,
    IndexError, OverflowError,
)  # fmt: skip


class Archive:
    """An opened checkpoint file.

    Args:
        path: the file.

    Attributes:
        contents: what its description says, with ``TensorRecord`` for tensors.
        header_version: version its first two bytes name; empty for a plain archive.
        data: the file as it is on disk.

    Raises:
        CheckpointError: missing, foreign, damaged or hostile.
    """

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.data = _read(path)
        self.header_version = HEADERS.get(self.data[:2], "")
        opened = b"PK" + self.data[2:] if self.header_version else self.data
        if opened[:4] != b"PK\x03\x04":
            raise CheckpointError(
                "it is no archive of torch.save",
                code="checkpoint/foreign",
                where=self.where,
                hint="give the .ckpt or .pth file itself, unpacked from any download archive",
            )
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(opened))
            self._check_sizes(len(opened))
            described = self._described()
        except _DAMAGE as error:
            raise self.damaged(f"its archive is damaged: {error}") from error
        self.contents: Any = read_pickle(described, self.where)

    def damaged(self, message: str) -> CheckpointError:
        """An error that says the file is not as it was written."""
        return CheckpointError(
            message, code="checkpoint/damaged", where=self.where, hint="download or copy the file again"
        )

    def _check_sizes(self, length: int) -> None:
        """torch.save never compresses, so what an archive holds is no larger than the archive."""
        entries = self._zip.infolist()
        if len(entries) > _MOST_ENTRIES or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise CheckpointError(
                "its archive is compressed, which torch.save never does", code="checkpoint/foreign", where=self.where
            )
        if sum(entry.file_size for entry in entries) > length:
            raise self.damaged("its archive claims to hold more than it is long")

    def _described(self) -> bytes:
        found = [name for name in self._zip.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(found) != 1:
            raise CheckpointError("its archive is not one of torch.save", code="checkpoint/foreign", where=self.where)
        self._root = found[0].removesuffix("data.pkl")
        if f"{self._root}byteorder" in self._zip.namelist() and self._zip.read(f"{self._root}byteorder") != b"little":
            raise self.damaged("its numbers are not little-endian")
        if self._zip.getinfo(found[0]).file_size > MOST_BYTES:
            raise self.damaged("its description is far too long")
        return self._zip.read(found[0])

    def tensor(self, name: str, record: TensorRecord) -> torch.Tensor:
        """A tensor in its own memory, in float32 when it is of a float type.

        Raises:
            CheckpointError: its storage is missing, damaged, or shorter than the tensor says.
        """
        dtype = getattr(torch, record.dtype)
        try:
            stored = bytearray(self._zip.read(f"{self._root}data/{record.key}"))
        except _DAMAGE as error:
            raise self.damaged(f"tensor {name!r} cannot be read: {error}") from error
        elements = len(stored) // dtype.itemsize
        count, last = 1, record.offset
        for size, stride in zip(record.shape, record.stride, strict=False):
            count, last = count * size, last + (size - 1) * stride
        # More elements than are stored is how a few bytes would become gigabytes.
        if len(record.shape) != len(record.stride) or len(record.shape) > 8 or count > elements or last >= elements:
            raise self.damaged(f"tensor {name!r} of shape {record.shape} does not fit its {len(stored)} bytes")
        if count == 0:
            return torch.zeros(record.shape)
        flat = torch.frombuffer(stored, dtype=dtype, count=elements)
        found = flat.as_strided(record.shape, record.stride, record.offset)
        return found.to(torch.float32).clone() if found.is_floating_point() else found.clone()


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > _MOST_FILE_BYTES:
            raise CheckpointError(f"it is {size:,} bytes long", code="checkpoint/foreign", where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"it cannot be read: {error.strerror or error}", code="checkpoint/not-found", where=str(path),
            hint="check the path",
        ) from error  # fmt: skip
