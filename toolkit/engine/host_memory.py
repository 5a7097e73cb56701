"""The memory behind an input of a compiled model, to be written in place.

LiteRT's Python interface copies a whole buffer at every ``write``; its C interface, in the same wheel, lends the memory
itself (``LiteRtLockTensorBuffer``, litert/c/litert_tensor_buffer.h). A key-value cache of tens of megabytes needs that.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import EngineError

_LIBRARY = "libLiteRt.so"
_READ_WRITE = 2  # kLiteRtTensorBufferLockModeReadWrite


@cache
def _library() -> ctypes.CDLL | None:
    found = find_spec("ai_edge_litert")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / _LIBRARY
        if path.is_file():
            library = ctypes.CDLL(str(path))
            if hasattr(library, "LiteRtLockTensorBuffer") and hasattr(library, "LiteRtUnlockTensorBuffer"):
                return library
    return None


def lends_memory() -> bool:
    """Whether this LiteRT lends the memory of its buffers."""
    return _library() is not None


class LentMemory:
    """The memory behind a buffer, lent for as long as a ``with`` lasts; what it gives is an array, not to be kept.

    A token step writes into 48 buffers: what stays the same from token to token (handle, array, order of axes) is kept
    here. With it and fewer reshapes a write takes 4 microseconds, not 12; the sum was a seventh of a small step.

    Args:
        buffer: LiteRT's ``TensorBuffer``.
        shape: of what it holds.
        dtype: likewise.
        axes: order in which the array has the buffer's axes.
    """

    def __init__(self, buffer: Any, shape: tuple[int, ...], dtype: str, axes: tuple[int, ...]) -> None:
        self._buffer = buffer  # the handle lives as long as it does
        self._handle = _handle(buffer)
        self._shape, self._dtype, self._axes = shape, np.dtype(dtype), axes
        self._address = ctypes.c_void_p()
        self._where: int | None = None
        self._array: np.ndarray

    def __enter__(self) -> np.ndarray:
        """Lends it.

        Raises:
            EngineError: this LiteRT does not lend it.
        """
        library = _library()
        lock = None if library is None else library.LiteRtLockTensorBuffer
        if lock is None or lock(self._handle, ctypes.byref(self._address), _READ_WRITE) != 0:
            raise EngineError(
                "LiteRT does not lend the memory of an input", code="engine/graph", where=_LIBRARY,
                hint="install the ai-edge-litert of requirements.lock",
            )  # fmt: skip
        if self._address.value != self._where:  # LiteRT may put a buffer elsewhere; so far it does not
            self._where = self._address.value
            size = int(np.prod(self._shape)) * self._dtype.itemsize
            raw = (ctypes.c_char * size).from_address(self._where or 0)
            self._array = np.frombuffer(raw, self._dtype).reshape(self._shape).transpose(self._axes)
        return self._array

    def __exit__(self, *_: object) -> None:
        """Gives it back."""
        library = _library()
        if library is not None:
            library.LiteRtUnlockTensorBuffer(self._handle)


def _handle(buffer: Any) -> ctypes.c_void_p:
    api = ctypes.pythonapi
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return ctypes.c_void_p(api.PyCapsule_GetPointer(buffer._capsule, b"LiteRtTensorBuffer"))
