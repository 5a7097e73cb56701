"""Sums, means, extremes and products over axes."""

from __future__ import annotations

from tests.toolkit.delegates.gpu_sweep.case import Case, boolean, const, floats, int8, int32, of
from tests.toolkit.delegates.op_examples import Slot


def _reduced(
    kind: str,
    slot: Slot,
    axes: list[int],
    *,
    keep: bool = True,
    ranges: tuple[float, float] | None = None,
    tag: str = "",
    **more: object,
) -> Case:
    note = f"axes {axes}" + (" kept" if keep else "") + (f" {tag}" if tag else "")
    # A product of many normal numbers is too small to be told from nothing.
    span = ranges or ((0.9, 1.1) if kind == "REDUCE_PROD" else None)
    return of(kind, slot, const(axes), note=note, keep_dims=keep, ranges={0: span} if span else {}, **more)  # type: ignore[arg-type]


_KINDS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
_OVER = (
    (floats(1, 4, 5, 8), [1, 2], True),
    (floats(1, 4, 5, 8), [3], True),
    (floats(1, 4, 5, 8), [1, 2], False),
    (floats(2, 4, 5, 8), [0], True),
    (floats(2, 5, 3), [1], True),
    (floats(2, 5, 3), [2], False),
    (floats(4, 6), [1], True),
    (floats(4, 6), [0], False),
    (floats(1, 4, 5, 8), [1, 2, 3], True),
    (floats(1, 4, 5, 8), [2], False),
)
CASES = (
    *(_reduced(kind, slot, axes, keep=keep) for kind in _KINDS[:2] for slot, axes, keep in _OVER),
    *(
        _reduced(kind, *_OVER[(number * 3 + turn) % len(_OVER)][:2], keep=_OVER[(number * 3 + turn) % len(_OVER)][2])
        for number, kind in enumerate(_KINDS[2:])
        for turn in range(4)
    ),
    *(
        _reduced(kind, floats(*shape), [axis], ranges=(-3.0, -1.0), tag="negative")
        for kind in _KINDS
        for axis, shape in ((3, (1, 4, 5, 7)), (2, (1, 4, 5, 7)), (1, (4, 6)), (2, (2, 5, 3)))
    ),
    *(_reduced(kind, floats(9), [0], tag="rank 1") for kind in _KINDS),
    *(_reduced(kind, floats(1, 4, 5, 3), [3], ranges=(1.0, 3.0), tag="positive") for kind in _KINDS),
    *(_reduced(kind, int8(1, 4, 5, 8), [1, 2], version=2) for kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")),
    _reduced("SUM", int8(1, 4, 5, 8, scale=0.002), [3], version=2, to=int8(scale=0.02)),
    _reduced("MEAN", int8(1, 4, 5, 8, zero=7), [3], version=2, to=int8(scale=0.04)),
    *(_reduced(kind, int32(1, 4, 5, 8), [1, 2]) for kind in ("SUM", "REDUCE_MAX")),
    *(_reduced(kind, boolean(1, 4, 5, 8), [1, 2]) for kind in ("REDUCE_ANY", "REDUCE_ALL")),
)
