"""The memory behind an input of a compiled model, to be written in place.

LiteRT's Python interface copies a whole buffer at every ``write``; its C interface, in the same wheel, lends the memory
itself (``LiteRtLockTensorBuffer``, litert/c/litert_tensor_buffer.h). A key-value cache of tens of megabytes needs that.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def lent(buffer: Any, shape: tuple[int, ...], dtype: str) -> Iterator[np.ndarray]:
    """The memory of a buffer on the host as an array; not to be kept.

    Args:
        buffer: LiteRT's ``TensorBuffer``.
        shape: of what it holds.
        dtype: likewise.

    Raises:
        EngineError: this LiteRT does not lend it.
    """
    library = _library()
    handle, address = _handle(buffer), ctypes.c_void_p()
    if library is None or library.LiteRtLockTensorBuffer(handle, ctypes.byref(address), _READ_WRITE) != 0:
        raise EngineError(
            "LiteRT does not lend the memory of an input", code="engine/graph", where=_LIBRARY,
            hint="install the ai-edge-litert of requirements.lock",
        )  # fmt: skip
    try:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = (ctypes.c_char * size).from_address(address.value or 0)
        yield np.frombuffer(raw, dtype).reshape(shape)
    finally:
        library.LiteRtUnlockTensorBuffer(handle)


def _handle(buffer: Any) -> ctypes.c_void_p:
    api = ctypes.pythonapi
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return ctypes.c_void_p(api.PyCapsule_GetPointer(buffer._capsule, b"LiteRtTensorBuffer"))
