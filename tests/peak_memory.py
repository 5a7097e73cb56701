"""Largest memory of a process while something runs, as Linux keeps it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Result = TypeVar("Result")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
needs_linux = pytest.mark.skipif(not _RESET.exists(), reason="memory is read from /proc")


def resident_bytes(field: str = "VmRSS") -> int:
    """A line of the process's status: ``VmRSS``, ``VmHWM``, ``RssShmem``, ``RssFile``, ``RssAnon``."""
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
    return int(lines[field].split()[0]) << 10


def peak_bytes(run: Callable[[], Result]) -> tuple[Result, int]:
    """What ``run`` returns, and by how much memory rose over what it was before, at its highest."""
    gc.collect()
    # Memory that was freed and not given back would be taken again without a rise.
    ctypes.CDLL(None).malloc_trim(0)
    _RESET.write_text("5")  # the highest so far is forgotten; see proc(5)
    before = resident_bytes()
    result = run()
    return result, resident_bytes("VmHWM") - before
