"""Weights of a torch module in a file, mapped into memory: they take room in memory only while they are read.

A module is needed at the beginning of a conversion and again for its next length, and in between every other form of
it holds all weights too. A mapped file needs no second module and no reading again: the system fetches what is touched.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any
from weakref import WeakKeyDictionary

from converters import frameworks
from converters.memory import LARGE_MODEL_BYTES
from converters.temporary_room import no_room

_ALIGNMENT_BYTES = 64
_FILES: WeakKeyDictionary[Any, mmap.mmap] = WeakKeyDictionary()
"""Beside the modules, not in them: a module can be copied and a mapped file cannot."""


def move_to_file(module: Any, *, min_bytes: int = LARGE_MODEL_BYTES) -> None:
    """Moves the parameters and buffers of a module into a temporary file without a name; their values stay, as
    contiguous tensors.

    Nobody else may hold them, or they would be there twice.

    Args:
        module: ``nn.Module``.
        min_bytes: a module with fewer is left as it is.

    Raises:
        InputError: there is no room on the disk for temporary files.
    """
    torch = frameworks.torch()
    tensors = [*module.parameters(), *module.buffers()]
    ends = [0]
    for tensor in tensors:
        ends.append(-(-(ends[-1] + tensor.numel() * tensor.element_size()) // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES)
    if ends[-1] < max(min_bytes, 1):
        return
    with tempfile.TemporaryFile(prefix="weights-") as file:
        try:
            _reserve(file, ends[-1])
        except OSError as error:
            raise no_room(f"weights of {ends[-1]:,} bytes have", error) from error
        mapped = mmap.mmap(file.fileno(), ends[-1])
    for tensor, start in zip(tensors, ends[:-1], strict=True):
        if not tensor.numel():
            continue
        flat = torch.frombuffer(mapped, dtype=tensor.dtype, count=tensor.numel(), offset=start)
        tensor.data = flat.view(tensor.shape).copy_(tensor.data)
    _FILES[module] = mapped
    rest(module)


def _reserve(file: Any, size_bytes: int) -> None:
    """Takes room on the disk now: a page without any would end the process when it is written to."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size_bytes)
    else:
        for _ in range(0, size_bytes, 1 << 20):
            file.write(bytes(1 << 20))
        file.flush()


def rest(module: Any) -> None:
    """Lets the weights of a module and of those inside it go from memory, where they are in a file; they keep their
    values, and come back when they are read.
    """
    for one in module.modules() if hasattr(module, "modules") else ():
        mapped = _FILES.get(one)
        if mapped is not None and hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)
