"""What the process and the machine have left, from the kernel; no package needed."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Memory of this process that is in RAM now, mapped files included."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


def available_bytes() -> int:
    """Memory the machine could give away without swapping."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return os.sysconf("SC_AVPHYS_PAGES") * _PAGE_BYTES  # kernels before 3.14


def return_freed() -> None:
    """Hands freed memory back to the system: glibc keeps what lies between blocks still in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries give it back by themselves
    if trim is not None:
        trim(0)
