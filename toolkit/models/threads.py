"""How many threads torch and numpy compute with.

Sums are split by thread and rounded accordingly: what chooses ranges and scales is computed by one, so that a machine
with other cores, or an `OMP_NUM_THREADS` in the environment, gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    """Threads of torch and of the linear algebra under numpy, for the length of a body."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)
