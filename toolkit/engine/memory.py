"""What the process and the machine have left, from the kernel; no package needed."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_MADV_DONTNEED = 4  # linux/mman.h; file pages are read again when they are touched
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


def release_pages_of(path: Path) -> int:
    """Drops the pages of a file this process has mapped to read; returns how many bytes of mappings that were.

    XNNPACK packs the weights of a model file once; what stays mapped of it is a second copy. The kernel would drop such
    pages when it needs them, but counts them until then.

    Raises:
        OSError: the kernel refuses.
    """
    wanted, dropped = str(path.resolve()), 0
    library = ctypes.CDLL(None, use_errno=True)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(maxsplit=5)
        # A page that was written to is not in the file: such mappings are left alone.
        if len(fields) < 6 or fields[5] != wanted or "w" in fields[1]:
            continue
        start, end = (int(address, 16) for address in fields[0].split("-"))
        if library.madvise(start, end - start, _MADV_DONTNEED):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), wanted)
        dropped += end - start
    return dropped
