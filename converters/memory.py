"""Gives memory back between hops and within them: weights are copied at each, and the C library keeps what was freed.

Its allocator takes what is large straight from the system, and what counts as large grows to 32 MB with every block
that is freed: matrices of a transformer then lie between small objects, and their pages stay when they go.
Source: ``mallopt(3)`` of glibc, ``M_MMAP_THRESHOLD``.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator
from typing import Any

LARGE_MODEL_BYTES = 256_000_000
"""Weights from here on are worth time to keep out of memory: a disk's, or that of fetching every block anew."""
_WORTHWHILE_BYTES = 4_000_000
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # malloc.h
_LARGE_BLOCK_BYTES = 1 << 20
_USUAL_BLOCK_BYTES = 32 << 20  # where glibc itself ends up in a process that frees large blocks


def release_unused_memory(weights_bytes: int) -> None:
    """Collects cycles (Keras graphs are full of them) and returns free heap pages to the system where that exists.

    Args:
        weights_bytes: size of the model's weights; it takes a good part of a second, so small models are spared it.
    """
    if weights_bytes < _WORTHWHILE_BYTES:
        return
    gc.collect()
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def blocks_given_back(weights_bytes: int) -> Iterator[None]:
    """Every block of a megabyte and more goes back to the system when it is freed; without effect off glibc.

    Each is then fetched and zeroed anew, so nothing is to be timed or trained inside.

    Args:
        weights_bytes: size of the model's weights; nothing changes for a model that is not large.
    """
    option = _of_glibc("mallopt") if weights_bytes >= LARGE_MODEL_BYTES else None
    if option is None:
        yield
        return
    option(_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)
    try:
        yield
    finally:
        option(_MMAP_THRESHOLD, _USUAL_BLOCK_BYTES)
        option(_TRIM_THRESHOLD, 2 * _USUAL_BLOCK_BYTES)


def _of_glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
