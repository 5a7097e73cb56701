"""The shape LiteRT's GPU accelerator expects of a STRIDED_SLICE: it refuses where the file has another.

Transcribed from ``ml_drift_delegate/tflite/model_builder.cc`` (5271-5328 and 5416-5440): parameters for all axes but
one are taken to leave the batch out, and ends beyond an axis are not brought back to its length.
"""

from __future__ import annotations

import numpy as np

from toolkit.delegates.op_view import OpView

SPREAD = {1: (0,), 2: (0, 3), 3: (0, 2, 3), 4: (0, 1, 2, 3)}
"""Axes of batch, height, width and channels that a tensor's axes become, by its rank."""


def bhwc(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A shape of rank 0 to 4 as the delegate spreads it over batch, height, width and channels."""
    full = [1, 1, 1, 1]
    for axis, size in zip(SPREAD.get(len(shape), ()), shape, strict=False):
        full[axis] = size
    return full[0], full[1], full[2], full[3]


def output_mismatch(view: OpView) -> bool:
    """Whether the delegate's own output shape differs from the file's; False where another rule speaks first."""
    shape, made = view.shape("input0"), view.shape("output0")
    values = [view.integers(f"input{number}") for number in (1, 2, 3)]
    if shape is None or made is None or not 1 <= len(shape) <= 4 or any(v is None for v in values):
        return False
    counts = {int(v.size) for v in values if v is not None}
    if len(counts) != 1 or len(shape) - min(counts) not in (0, 1) or not min(counts):
        return False
    starts, ends, strides = [0, 0, 0, 0], list(bhwc(shape)), [1, 1, 1, 1]
    count = min(counts)
    # With the batch left out the parameters belong to the last axes of height, width and channels.
    axes = SPREAD[count] if count == len(shape) else tuple(range(4 - count, 4))
    for target, given in zip((starts, ends, strides), values, strict=True):
        for axis, value in zip(axes, np.ravel(given if given is not None else ()), strict=True):
            target[axis] = int(value)
    sizes = bhwc(shape)
    begin_mask, end_mask = (_mask(int(view.option(name)), len(shape)) for name in ("begin_mask", "end_mask"))
    for axis, size in enumerate(sizes):
        ends[axis] += size if ends[axis] < 0 else 0
        starts[axis] += size if starts[axis] < 0 else 0
        starts[axis] = 0 if begin_mask >> axis & 1 else starts[axis]
        ends[axis] = size if end_mask >> axis & 1 else ends[axis]
    if any(stride <= 0 for stride in strides):
        return False
    expected = tuple(-(-(end - start) // stride) for start, end, stride in zip(starts, ends, strides, strict=True))
    return expected != bhwc(made)


def _mask(mask: int, rank: int) -> int:
    """A mask over a tensor's axes as one over batch, height, width and channels."""
    return sum((mask >> place & 1) << axis for place, axis in enumerate(SPREAD[rank]))
