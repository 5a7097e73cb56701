"""Gives memory back between hops: weights are copied at each, and the C library keeps what was freed."""

from __future__ import annotations

import ctypes
import gc
import sys

_WORTHWHILE_BYTES = 4_000_000


def release_unused_memory(weights_bytes: int) -> None:
    """Collects cycles (Keras graphs are full of them) and returns free heap pages to the system where that exists.

    Args:
        weights_bytes: size of the model's weights; it takes a good part of a second, so small models are spared it.
    """
    if weights_bytes < _WORTHWHILE_BYTES:
        return
    gc.collect()
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)
