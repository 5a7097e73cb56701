"""Gives memory back between hops: weights are copied at each, and the C library keeps what was freed."""

from __future__ import annotations

import ctypes
import gc
import sys


def release_unused_memory() -> None:
    """Collects cycles (Keras graphs are full of them) and returns free heap pages to the system where that exists."""
    gc.collect()
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)
