"""Operators that move data: reshape, transpose, slice, split, join, pad, gather, repeat, reverse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.toolkit.delegates.gpu_sweep.case import (
    NO_ACTIVATION,
    Case,
    boolean,
    const,
    floats,
    int8,
    int32,
    numbers,
    of,
)
from tests.toolkit.delegates.op_examples import Slot

_MASKS = {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 0}


def _reshape(slot: Slot, *shape: int) -> Case:
    return of("RESHAPE", slot, const(list(shape)), note=f"to {shape}", new_shape=list(shape))


def _slice(slot: Slot, start: list[int], size: list[int]) -> Case:
    sizes = [s - b if n < 0 else n for s, b, n in zip(slot.shape, start, size, strict=True)]
    return of("SLICE", slot, const(start), const(size), to=replace(slot, shape=tuple(sizes)), note=f"{start} {size}")


def _strided(slot: Slot, start: list[int], stop: list[int], step: list[int], **masks: int) -> Case:
    note = f"{start}:{stop}:{step} {masks or ''}"
    return of("STRIDED_SLICE", slot, const(start), const(stop), const(step), note=note, **{**_MASKS, **masks})


def _pads(*pairs: tuple[int, int]) -> Slot:
    return const(np.array(pairs, np.int32))


SHAPED = (
    _reshape(floats(1, 4, 5, 8), 1, 20, 1, 8),
    _reshape(floats(1, 4, 5, 8), 4, 40),
    _reshape(floats(1, 4, 5, 8), 160),
    _reshape(floats(1, 4, 5, 8), 2, 2, 5, 8),
    _reshape(floats(6, 8), 1, 2, 3, 8),
    _reshape(floats(6, 8), 2, 3, 8),
    _reshape(floats(6, 8), 1, 2, 3, 2, 4),
    _reshape(int8(1, 4, 5, 8), 1, 20, 1, 8),
    _reshape(int32(1, 4, 5, 8), 4, 40),
    *(
        _reshape(floats(*before), *after)
        for before, after in (
            ((1, 4, 5, 6), (1, 5, 4, 6)),
            ((1, 4, 5, 7), (1, 1, 20, 7)),
            ((1, 4, 5, 3), (1, 1, 5, 12)),
            ((1, 1, 33, 1), (1, 33)),
            ((2, 5, 3), (1, 1, 10, 3)),
            ((2, 4, 5, 6), (8, 30)),
        )
    ),
    *(
        of("TRANSPOSE", floats(*shape), const(list(order)), note=str(order))
        for shape, order in (((1, 4, 5, 7), (0, 3, 1, 2)), ((1, 1, 33, 6), (0, 1, 3, 2)), ((5, 7), (1, 0)))
    ),
    *(
        of("TRANSPOSE", floats(*shape), const(list(order)), note=str(order))
        for shape, order in (
            ((1, 4, 5, 8), (0, 2, 1, 3)),
            ((1, 4, 5, 8), (0, 3, 1, 2)),
            ((2, 4, 5, 8), (1, 0, 2, 3)),
            ((2, 4, 5, 8), (3, 2, 1, 0)),
            ((2, 5, 3), (0, 2, 1)),
            ((2, 5, 3), (2, 0, 1)),
            ((4, 6), (1, 0)),
            ((6,), (0,)),
            ((1, 2, 3, 4, 5), (0, 1, 3, 2, 4)),
        )
    ),
    of("TRANSPOSE", int8(1, 4, 5, 8), const([0, 2, 1, 3]), version=2),
)
SLICED = (
    _slice(floats(1, 4, 5, 8), [0, 0, 1, 2], [1, 4, 3, 4]),
    _slice(floats(2, 4, 5, 8), [1, 0, 0, 0], [1, 4, 5, -1]),
    _slice(floats(2, 5, 3), [0, 1, 0], [2, 3, 3]),
    _slice(floats(4, 6), [1, 2], [2, 3]),
    _slice(floats(9), [2], [5]),
    _slice(int8(1, 4, 5, 8), [0, 0, 1, 2], [1, 4, 3, 4]),
    _slice(int32(1, 4, 5, 8), [0, 0, 1, 2], [1, 4, 3, 4]),
    _strided(floats(1, 4, 5, 8), [0, 0, 1, 2], [1, 4, 4, 6], [1, 1, 1, 1]),
    _strided(floats(1, 4, 5, 8), [0, 0, 0, 0], [1, 4, 5, 8], [1, 2, 2, 2]),
    _strided(floats(1, 4, 5, 8), [0, 3, 0, 0], [1, 0, 5, 8], [1, -1, 1, 1]),
    _strided(floats(1, 4, 5, 8), [0, 1, 0, 0], [1, 2, 5, 8], [1, 1, 1, 1], shrink_axis_mask=2),
    _strided(floats(1, 4, 5, 8), [0, 0, 0, 0], [0, 3, 0, 0], [1, 1, 1, 1], end_mask=13),
    _strided(floats(1, 4, 5, 8), [0, 0, 0, -3], [1, 4, 5, 8], [1, 1, 1, 1]),
    _strided(floats(2, 5, 3), [0, 1, 0], [2, 4, 3], [1, 1, 1]),
    _strided(floats(4, 6), [1, 0], [3, 6], [1, 2]),
    _strided(floats(9), [2], [7], [1]),
    _strided(floats(1, 4, 5, 8), [0, 0, 0], [1, 4, 3], [1, 1, 1]),
    _strided(floats(1, 4, 5, 8), [0, 1, 0], [1, 3, 5], [1, 1, 1]),
    _strided(floats(2, 5, 3), [0, 1], [2, 4], [1, 1]),
    _strided(floats(1, 4, 5, 8), [0, 0, 0], [1, 4, 5], [1, 1, 1], begin_mask=7, end_mask=7),
    _strided(floats(1, 4, 5, 8), [0, 0, 1, 0], [1, 4, 99, 8], [1, 1, 1, 1]),
    _strided(floats(1, 4, 5, 8), [0, 0, 1, 0], [1, 4, 99, 8], [1, 1, 1, 1], end_mask=4),
    _strided(floats(1, 4, 5, 8), [0, 0, -2, 0], [1, 4, -1, 8], [1, 1, 1, 1]),
    _strided(floats(1, 4, 5, 8), [0, 0, -99, 0], [1, 4, 3, 8], [1, 1, 1, 1]),
    _strided(floats(2, 5, 3), [1, 0, 0], [2, 5, 3], [1, 1, 1]),
    _strided(floats(2, 5, 3), [0, 0, 0], [2, 5, 3], [1, 2, 1]),
    _strided(int32(1, 4, 5, 8), [0, 0, 1, 2], [1, 4, 4, 6], [1, 1, 1, 1]),
    _strided(floats(1, 4, 5, 8), [0, 0, 0, 0], [1, 4, 5, 8], [1, 1, 1, 1], new_axis_mask=2),
    *(
        of("SPLIT", const(axis), floats(*shape), to=(floats(), floats()), num_splits=2, note=f"axis {axis}")
        for axis, shape in (
            (3, (1, 4, 5, 8)),
            (1, (1, 4, 5, 8)),
            (2, (1, 4, 6, 8)),
            (-1, (2, 5, 4)),
            (1, (4, 6)),
            (0, (2, 4, 5, 8)),
        )
    ),
    of("SPLIT_V", floats(1, 4, 5, 8), const([3, 5]), const(3), to=(floats(), floats()), num_splits=2),
    of("SPLIT_V", floats(1, 4, 5, 8), const([1, 3]), const(1), to=(floats(), floats()), num_splits=2, note="axis 1"),
    of("SPLIT_V", floats(4, 6), const([2, 4]), const(1), to=(floats(), floats()), num_splits=2),
)
JOINED = (
    *(
        of("CONCATENATION", floats(*left), floats(*right), axis=axis, note=f"axis {axis}", **NO_ACTIVATION)
        for axis, left, right in (
            (3, (1, 4, 5, 8), (1, 4, 5, 3)),
            (-1, (1, 4, 5, 8), (1, 4, 5, 8)),
            (2, (1, 4, 5, 8), (1, 4, 2, 8)),
            (1, (1, 4, 5, 8), (1, 3, 5, 8)),
            (0, (1, 4, 5, 8), (2, 4, 5, 8)),
            (1, (2, 5, 3), (2, 4, 3)),
            (2, (2, 5, 3), (2, 5, 4)),
            (1, (4, 6), (4, 3)),
            (0, (4, 6), (3, 6)),
            (0, (4,), (3,)),
        )
    ),
    of("CONCATENATION", floats(1, 4, 5, 8), numbers(1, 4, 5, 3), axis=3, **NO_ACTIVATION),
    of("CONCATENATION", *(floats(1, 4, 5, size) for size in (1, 2, 3, 4, 5)), axis=3, **NO_ACTIVATION),
    of("CONCATENATION", int8(1, 4, 5, 8), int8(1, 4, 5, 3), axis=3, version=2, **NO_ACTIVATION),
    of("CONCATENATION", int32(1, 4, 5, 8), int32(1, 4, 5, 3), axis=3, **NO_ACTIVATION),
    of("CONCATENATION", floats(1, 2, 4, 5, 8), floats(1, 2, 4, 5, 8), axis=4, **NO_ACTIVATION),
    *(
        of("PACK", floats(*shape), floats(*shape), axis=axis, values_count=2, note=f"axis {axis}")
        for axis, shape in ((0, (4, 5, 8)), (1, (4, 5, 8)), (3, (4, 5, 8)), (1, (4, 6)), (0, (6,)), (1, (1, 4, 5, 8)))
    ),
    *(
        of("UNPACK", floats(*shape), to=(floats(), floats()), axis=axis, num=2, note=f"axis {axis}")
        for axis, shape in ((0, (2, 4, 5, 8)), (1, (1, 2, 5, 8)), (3, (1, 4, 5, 2)), (0, (2, 6)), (1, (3, 2, 6)))
    ),
)  # fmt: skip
PADDED = (
    of("PAD", floats(1, 4, 5, 8), _pads((0, 0), (1, 2), (3, 0), (0, 0))),
    of("PAD", floats(1, 4, 5, 8), _pads((0, 0), (0, 0), (0, 0), (2, 3)), note="channels"),
    of("PAD", floats(1, 4, 5, 8), _pads((1, 0), (0, 0), (0, 0), (0, 0)), note="batch"),
    of("PAD", floats(2, 5, 3), _pads((0, 0), (1, 2), (0, 0))),
    of("PAD", floats(2, 5, 3), _pads((0, 0), (0, 0), (1, 2)), note="channels"),
    of("PAD", floats(1, 5, 8), _pads((0, 0), (1, 2), (0, 0))),
    of("PAD", floats(1, 5, 8), _pads((1, 1), (1, 2), (0, 0)), note="batch"),
    of("PAD", floats(2, 4, 5, 8), _pads((0, 0), (1, 2), (3, 0), (0, 0))),
    of("MIRROR_PAD", floats(1, 5, 8), _pads((0, 0), (1, 2), (0, 0)), mode="REFLECT"),
    of("MIRROR_PAD", floats(2, 5, 8, 4), _pads((0, 0), (1, 2), (0, 0), (0, 0)), mode="REFLECT"),
    of("MIRROR_PAD", floats(1, 4, 5, 6), _pads((0, 0), (0, 0), (0, 0), (2, 3)), mode="REFLECT", note="channels"),
    of("PADV2", floats(1, 5, 8), _pads((0, 0), (1, 2), (0, 0)), const(np.float32(0.5), "FLOAT32")),
    of("PADV2", floats(1, 4, 5, 6), _pads((0, 0), (1, 2), (3, 0), (1, 2)), const(np.float32(0.5), "FLOAT32")),
    of(
        "PADV2",
        floats(1, 4, 5, 6),
        _pads((1, 0), (1, 2), (3, 0), (1, 2)),
        const(np.float32(0.5), "FLOAT32"),
        note="batch",
    ),
    of("PAD", floats(4, 6), _pads((0, 0), (1, 2))),
    of("PAD", floats(9), _pads((1, 2))),
    of("PAD", int8(1, 4, 5, 8), _pads((0, 0), (1, 2), (3, 0), (0, 0)), version=2),
    of("PAD", int8(1, 4, 5, 8, zero=9), _pads((0, 0), (1, 2), (3, 0), (0, 0)), version=2, note="zero point 9"),
    of("PADV2", floats(1, 4, 5, 8), _pads((0, 0), (1, 2), (3, 0), (0, 0)), const(np.float32(0.5), "FLOAT32")),
    of("PADV2", floats(2, 5, 3), _pads((0, 0), (1, 2), (0, 0)), const(np.float32(0.5), "FLOAT32")),
    *(
        of("MIRROR_PAD", floats(*shape), _pads(*pairs), mode=mode, note=mode)
        for mode in ("REFLECT", "SYMMETRIC")
        for shape, pairs in (
            ((1, 4, 5, 8), ((0, 0), (1, 2), (2, 0), (0, 0))),
            ((2, 5, 3), ((0, 0), (2, 1), (0, 0))),
            ((4, 6), ((0, 0), (2, 1))),
        )
    ),
)
PICKED = (
    *(
        of("GATHER", floats(*shape), const([2, 1, 0, 1]), axis=axis, note=f"axis {axis}")
        for axis, shape in (
            *((3, (1, 4, 5, 8)), (2, (1, 4, 5, 8)), (1, (1, 4, 5, 8)), (0, (3, 4)), (1, (4, 6)), (1, (2, 5, 3))),
            *((3, (1, 4, 5, 7)), (2, (2, 5, 3)), (0, (3, 4, 5, 6))),
        )
    ),
    of("GATHER", floats(9), const([2, 1, 0, 5]), axis=0),
    of("SPLIT", const(0), floats(8), to=(floats(), floats()), num_splits=2),
    of("UNPACK", floats(2), to=(floats(), floats()), axis=0, num=2),
    _reshape(floats(9), 3, 3),
    _reshape(floats(9), 1, 1, 1, 9),
    of("GATHER", floats(9, 4), int32(5), axis=0, ranges={1: (0, 8)}),
    of("GATHER", numbers(9, 4), int32(5), to=floats(), axis=0, ranges={1: (0, 8)}),
    of("GATHER", numbers(9, 4), int32(1, 5), to=floats(), axis=0, ranges={1: (0, 8)}),
    of("GATHER", int8(1, 4, 5, 8), const([2, 1, 0]), axis=3, version=2),
    of("GATHER", floats(2, 5, 3), const([[2, 1], [0, 1]]), axis=1, note="rank 2 indices"),
    *(
        of("TILE", floats(*shape), const(list(times)), note=str(times))
        for shape, times in (
            ((1, 4, 5, 8), (1, 1, 2, 1)),
            ((1, 4, 5, 8), (1, 2, 1, 3)),
            ((4, 6), (2, 1)),
            ((2, 5, 3), (1, 1, 2)),
            ((2, 4, 5, 6), (2, 1, 1, 2)),
            ((4, 6), (1, 3)),
            ((9,), (2,)),
        )
    ),
    *(
        of("REVERSE_V2", floats(*shape), const([axis]), note=f"axis {axis}")
        for axis, shape in (
            (1, (1, 4, 5, 8)),
            (2, (1, 4, 5, 8)),
            (3, (1, 4, 5, 8)),
            (0, (3, 4, 5, 8)),
            (3, (1, 4, 5, 7)),
            *((3, (1, 4, 5, channels)) for channels in (1, 2, 3, 5, 6, 12)),
            (1, (4, 6)),
            (0, (4, 6)),
            (1, (4, 8)),
            (1, (4, 7)),
            (2, (2, 5, 3)),
            (1, (2, 5, 3)),
            (0, (2, 5, 3)),
            (2, (2, 5, 8)),
            (0, (9,)),
        )
    ),
    of("REVERSE_V2", floats(1, 4, 5, 8), const([1, 2]), note="two axes"),
    *(
        of("TOPK_V2", floats(*shape), const(count), to=(floats(), int32()), note=f"{count}", ranges={0: (-3.0, -1.0)})
        for count, shape in (
            *((2, (1, 4, 5, channels)) for channels in (2, 3, 4, 5, 6, 8, 9)),
            (3, (1, 4, 5, 8)),
            (2, (20, 9)),
            (2, (9,)),
            (2, (8,)),
            (1, (2, 5, 3)),
            (1, (2, 5, 8)),
        )
    ),
    *(
        # Negative throughout: the zeros that fill the last four channels would win.
        of(
            "ARG_MAX",
            floats(*shape),
            const(axis),
            to=int32(),
            output_type="INT32",
            note=f"axis {axis}",
            ranges={0: (-3.0, -1.0)},
        )
        for axis, shape in (
            (3, (1, 4, 5, 8)),
            (1, (2, 9)),
            (2, (1, 4, 5, 8)),
            (-1, (2, 5, 3)),
            (1, (2, 5, 3)),
            (0, (2, 5, 3)),
            (2, (2, 5, 8)),
            (1, (2, 5, 8)),
            (3, (2, 4, 5, 7)),
            (1, (1, 4, 5, 7)),
            (1, (6, 9)),
            (0, (6, 9)),
            (0, (9,)),
            *((3, (1, 4, 5, channels)) for channels in (1, 2, 3, 4, 5, 6, 12)),
        )
    ),
    of("ARG_MAX", floats(6, 8), const(1), to=int32(), output_type="INT32"),
    of("ARG_MAX", floats(2, 9), const(1), to=Slot(dtype="INT64"), output_type="INT64", note="int64"),
    of("DYNAMIC_UPDATE_SLICE", floats(1, 4, 5, 8), floats(1, 1, 5, 8), int32(4), ranges={2: (0, 0)}),
    of("DYNAMIC_UPDATE_SLICE", floats(4, 6), floats(2, 6), int32(2), ranges={2: (0, 0)}),
    of("DYNAMIC_UPDATE_SLICE", floats(4, 6), floats(2, 6), const([1, 0]), note="constant start"),
    of("RESHAPE", boolean(2, 6), const([3, 4]), new_shape=[3, 4]),
)
CASES = (*SHAPED, *SLICED, *JOINED, *PADDED, *PICKED)
