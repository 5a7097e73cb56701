"""Functions of one and of two tensors, comparisons, logic, selection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.toolkit.delegates.gpu_sweep.case import (
    NO_ACTIVATION,
    POSITIVE,
    Case,
    boolean,
    floats,
    int8,
    int32,
    numbers,
    of,
    weights8,
)
from tests.toolkit.delegates.op_examples import Slot

_SHAPES = ((1, 4, 5, 8), (2, 3, 5, 7), (3, 7), (6,), (2, 5, 3), (1, 1, 33, 6))
_UNARY = (
    *(
        "ABS",
        "CEIL",
        "COS",
        "ELU",
        "EXP",
        "FLOOR",
        "GELU",
        "HARD_SWISH",
        "LEAKY_RELU",
        "LOG",
        "LOGISTIC",
        "NEG",
        "RELU",
    ),
    *("RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE", "TANH"),
)
_WANTS_POSITIVE = ("LOG", "RSQRT", "SQRT")
_UNARY_OPTIONS = {"LEAKY_RELU": {"alpha": 0.1}, "SOFTMAX": {"beta": 1.0}}


def _unary(kind: str, slot: Slot, **more: object) -> Case:
    positive = {0: POSITIVE} if kind in _WANTS_POSITIVE and slot.dtype == "FLOAT32" else {}
    return of(kind, slot, ranges=positive, **_UNARY_OPTIONS.get(kind, {}), **more)  # type: ignore[arg-type]


UNARY = tuple(
    _unary(kind, floats(*_SHAPES[(number + turn) % len(_SHAPES)]))
    for number, kind in enumerate(_UNARY)
    for turn in (0, 2)
)
UNARY_MORE = (
    of("GELU", floats(1, 4, 5, 8), approximate=True, note="tanh"),
    *(_unary(kind, Slot(shape=()), note="scalar") for kind in ("RELU", "TANH", "ABS", "LEAKY_RELU")),
    *(of("SOFTMAX", floats(*shape), beta=1.0) for shape in ((9,), (2, 9), (2, 3, 9), (8,))),
    *(_unary(kind, floats(1, 2, 3, 4, 5), note="rank 5") for kind in ("TANH", "RELU")),
    *(of("SOFTMAX", floats(*shape), beta=1.0) for shape in ((1, 4, 5, 8), (2, 6), (2, 5, 33))),
    of("SOFTMAX", floats(1, 4, 5, 8), beta=2.0, note="beta 2"),
    *(_unary(kind, int8(1, 4, 5, 8, scale=0.02)) for kind in ("ABS", "LEAKY_RELU", "RELU", "RELU6")),
    of("LOGISTIC", int8(1, 4, 5, 8), to=int8(scale=1 / 256, zero=-128)),
    of("TANH", int8(1, 4, 5, 8), to=int8(scale=1 / 128)),
    of("SOFTMAX", int8(1, 4, 5, 8), to=int8(scale=1 / 256, zero=-128), beta=1.0),
    of("EXP", int8(1, 4, 5, 8, scale=0.02), to=int8(scale=0.06, zero=-128)),
    of("HARD_SWISH", int8(1, 4, 5, 8)),
    of("GELU", int8(1, 4, 5, 8)),
    of("ELU", int8(1, 4, 5, 8)),
    of("LOG", int8(1, 4, 5, 8, zero=-128), ranges={0: (-100, 127)}),
    of("RSQRT", int8(1, 4, 5, 8, zero=-128), to=int8(scale=0.02, zero=-128), ranges={0: (-100, 127)}),
    of("LEAKY_RELU", int8(1, 4, 5, 8), to=int8(scale=0.03, zero=-20), alpha=0.1, note="other scale"),
    of("ABS", int32(1, 4, 5, 8), version=5),
    of("SIGN", int32(1, 4, 5, 8), version=2),
    of("NEG", int32(2, 6)),
)

_PAIRS = (
    (floats(1, 4, 5, 8), floats(1, 4, 5, 8)),
    (floats(1, 4, 5, 8), floats(1, 1, 1, 8)),
    (floats(1, 4, 5, 8), floats(1, 4, 5, 1)),
    (floats(1, 4, 1, 8), floats(1, 1, 5, 1)),
    (floats(1, 4, 5, 8), numbers(8)),
    (floats(1, 4, 5, 8), numbers()),
    (numbers(), floats(1, 4, 5, 8)),
    (floats(1, 4, 5, 8), floats(8)),
    (floats(1, 4, 5, 8), floats(4, 5, 8)),
    (floats(1, 4, 5, 8), floats(5, 8)),
    (floats(2, 4, 5, 8), floats(1, 4, 5, 8)),
    (floats(3, 7), floats(3, 7)),
    (floats(3, 7), floats(7)),
    (floats(2, 5, 3), floats(2, 5, 3)),
    (floats(2, 5, 3), floats(2, 1, 3)),
    (floats(2, 5, 3), floats(5, 3)),
    (floats(1, 4, 5, 8), numbers(1, 4, 5, 8)),
    (floats(1, 4, 5, 8), numbers(1, 1, 5, 1)),
    (floats(1, 4, 5, 8), numbers(4, 1, 8)),
)
_FUSED = ("ADD", "SUB", "MUL", "DIV")


def _binary(kind: str, left: Slot, right: Slot, **more: object) -> Case:
    """Shapes of both sides; divisors and bases of powers are positive numbers, constants included."""
    positive = kind in ("DIV", "POW", "FLOOR_DIV", "FLOOR_MOD")
    sides = [
        replace(s, data=np.abs(np.asarray(s.data)) + np.float32(0.3)) if positive and s.data is not None else s
        for s in (left, right)
    ]
    spans = {0: POSITIVE, 1: POSITIVE} if positive and left.dtype == "FLOAT32" else {}
    computed = [s for s in sides if s.data is None]
    ranges = (
        dict(enumerate(spans.values())) if len(computed) == 2 else {sides.index(computed[0]): POSITIVE} if spans else {}
    )
    options = NO_ACTIVATION if kind in _FUSED else {}
    return of(kind, *sides, to=replace(left, data=None), ranges=ranges, **{**options, **more})  # type: ignore[arg-type]


BINARY = (
    *(_binary(kind, *pair) for kind in ("ADD", "MUL") for pair in _PAIRS),
    *(_binary("SUB", *pair) for pair in _PAIRS[::2]),
    *(_binary("DIV", *pair) for pair in _PAIRS[1::2]),
    *(
        _binary(kind, *_PAIRS[(3 * number + turn) % len(_PAIRS)])
        for number, kind in enumerate(("MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "FLOOR_DIV", "FLOOR_MOD"))
        for turn in (0, 5, 10, 14)
    ),
    *(_binary("ATAN2", *pair) for pair in (_PAIRS[0], _PAIRS[11])),
)
BINARY_MORE = (
    *(_binary(k, *_PAIRS[0], fused_activation_function=a, note=a) for k in ("ADD", "MUL") for a in ("RELU", "RELU6")),
    _binary("SUB", *_PAIRS[0], fused_activation_function="RELU_N1_TO_1", note="relu n1"),
    _binary("ADD", floats(1, 2, 3, 4, 5), floats(1, 2, 3, 4, 5), note="rank 5"),
    *(_binary(k, floats(1, 4, 5, 8), floats(1, 4, 5, 8), identical=True, note="twice") for k in ("ADD", "SUB", "MUL")),
    _binary("ADD", numbers(1, 4, 5, 8), floats(1, 1, 1, 8)),
    *(_binary(k, int32(1, 4, 5, 8), int32(1, 4, 5, 8)) for k in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM")),
    of("FLOOR_DIV", int32(1, 4, 5, 8), int32(1, 4, 5, 8), ranges={0: (-40, 40), 1: (1, 9)}),
    of("FLOOR_MOD", int32(1, 4, 5, 8), int32(1, 4, 5, 8), ranges={0: (-40, 40), 1: (1, 9)}),
    of("DIV", int32(1, 4, 5, 8), int32(1, 4, 5, 8), ranges={0: (-40, 40), 1: (1, 9)}, **NO_ACTIVATION),
    *(
        of(kind, int8(*left), int8(*right, scale=0.03, zero=5), to=int8(scale=0.1), version=2, **NO_ACTIVATION)
        for kind in ("ADD", "SUB", "MUL")
        for left, right in (
            ((1, 4, 5, 8), (1, 4, 5, 8)),
            ((1, 4, 5, 8), (1, 1, 1, 8)),
            ((1, 4, 5, 8), (5, 8)),
            ((1, 4, 5, 8), (4, 5, 8)),
            ((1, 4, 5, 8), (8,)),
            ((2, 5, 3), (5, 3)),
            ((3, 7), (7,)),
        )
    ),
    *(of(kind, int8(1, 4, 5, 8), int8(1, 4, 5, 8), version=2) for kind in ("MAXIMUM", "MINIMUM")),
    *(of(kind, int8(1, 4, 5, 8), int8(5, 8), version=2) for kind in ("MAXIMUM", "MINIMUM")),
    *(
        of(
            kind,
            int8(1, 4, 5, 8),
            replace(weights8(*shape), scales=(0.03,)),
            to=int8(scale=0.1),
            version=2,
            **NO_ACTIVATION,
        )
        for kind in ("ADD", "SUB", "MUL")
        for shape in ((8,), (1, 1, 1, 8), (1, 4, 5, 8), (5, 8), (4, 5, 8), ())
    ),
    of(
        "ADD",
        int8(1, 4, 5, 8),
        int8(1, 4, 5, 8),
        to=int8(scale=0.1),
        version=2,
        fused_activation_function="RELU",
        note="relu",
    ),
    of(
        "FLOOR_MOD",
        int8(1, 4, 5, 8),
        int8(1, 4, 5, 8, scale=0.02, zero=3),
        ranges={0: (-40, 40), 1: (9, 90)},
        to=int8(scale=0.03),
        version=2,
        note="other scales",
    ),
    of("FLOOR_MOD", int8(1, 4, 5, 8), int8(1, 4, 5, 8), ranges={0: (-128, 127), 1: (1, 127)}, version=2, note="wide"),
    of(
        "FLOOR_DIV",
        int8(1, 4, 5, 8),
        int8(1, 4, 5, 8),
        ranges={0: (-128, 127), 1: (100, 127)},
        version=3,
        note="quotients of few",
    ),
    *(of(k, int8(1, 4, 5, 8), int8(1, 4, 5, 8), to=boolean()) for k in ("EQUAL", "LESS")),
    of("LESS", int8(1, 4, 5, 8), int8(5, 8), to=boolean()),
    of("EQUAL", int8(1, 4, 5, 8), int8(5, 8), to=boolean(), ranges={0: (0, 2), 1: (0, 2)}),
    of("SQUARED_DIFFERENCE", int8(1, 4, 5, 8), int8(5, 8), version=2),
    of("ADD", int8(8), int8(1, 4, 5, 8), version=2, **NO_ACTIVATION),
    of("ADD", int8(1, 4, 5, 8), int8(1), version=2, **NO_ACTIVATION),
    of(
        "MUL",
        int8(1, 4, 5, 8),
        Slot(shape=(), dtype="INT8", scales=(0.05,), zero_points=(0,)),
        version=2,
        **NO_ACTIVATION,
    ),
    of("MUL", floats(1, 4, 5, 8), floats(), **NO_ACTIVATION),
    of("MUL", floats(), numbers(), note="both scalar", **NO_ACTIVATION),
    of("MUL", floats(), floats(), note="both computed", **NO_ACTIVATION),
    of("MUL", floats(), floats(1, 4, 5, 8), to=floats(1, 4, 5, 8), **NO_ACTIVATION),
    of("MAXIMUM", floats(1, 4, 5, 8), floats()),
    of("MUL", floats(1, 4, 5, 8), floats(1), **NO_ACTIVATION),
    of("LESS", floats(1, 4, 5, 8), floats(5, 8), to=boolean()),
    *(of(k, int32(1, 4, 5, 8), int32(5, 8), **NO_ACTIVATION) for k in ("ADD", "MUL")),
    of("SUB", floats(1, 4, 5, 8), floats(5, 8), **NO_ACTIVATION),
    of("MAXIMUM", floats(1, 4, 5, 8), floats(5, 8)),
    of("MAXIMUM", floats(1, 4, 5, 8), numbers(5, 8)),
    of("SUB", floats(2, 5, 3), numbers(3), **NO_ACTIVATION),
    of("SUB", numbers(3), floats(2, 5, 3), **NO_ACTIVATION),
    of("DIV", numbers(1, 4, 5, 8, low=1, high=2), floats(1, 4, 5, 8), ranges={1: POSITIVE}, **NO_ACTIVATION),
    of("FLOOR_DIV", int8(1, 4, 5, 8), int8(1, 4, 5, 8), ranges={0: (-40, 40), 1: (1, 9)}, version=3),
    of("SQUARED_DIFFERENCE", int8(1, 4, 5, 8), int8(1, 4, 5, 8), version=2),
    of("BITWISE_XOR", int32(2, 6), int32(2, 6), ranges={0: (0, 99), 1: (0, 99)}),
    of("RIGHT_SHIFT", int32(2, 6), int32(2, 6), ranges={0: (0, 99), 1: (0, 3)}),
    of("ADD_N", floats(1, 4, 5, 8), floats(1, 4, 5, 8)),
    of("ADD_N", floats(1, 4, 5, 8), floats(1, 4, 5, 8), floats(1, 4, 5, 8)),
)

_COMPARISONS = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")
COMPARED = (
    *(of(k, floats(1, 4, 5, 8), floats(1, 4, 5, 8), to=boolean()) for k in _COMPARISONS),
    *(of(k, floats(1, 4, 5, 8), numbers(), to=boolean()) for k in _COMPARISONS[1:4]),
    *(of(k, int32(2, 6), int32(2, 6), to=boolean(), ranges={0: (0, 3), 1: (0, 3)}) for k in _COMPARISONS),
    of("LESS", floats(1, 4, 5, 8), floats(1, 1, 1, 8), to=boolean()),
    *(of(k, boolean(1, 4, 5, 8), boolean(1, 4, 5, 8)) for k in ("LOGICAL_AND", "LOGICAL_OR")),
    of("LOGICAL_NOT", boolean(1, 4, 5, 8)),
    *(
        of(kind, boolean(*condition), floats(*yes), floats(*no), to=floats(1, 4, 5, 8))
        for kind, condition, yes, no in (
            ("SELECT", (1, 4, 5, 8), (1, 4, 5, 8), (1, 4, 5, 8)),
            ("SELECT_V2", (1, 4, 5, 8), (1, 4, 5, 8), (1, 4, 5, 8)),
            ("SELECT_V2", (1, 1, 5, 1), (1, 4, 5, 8), (1, 4, 5, 8)),
            ("SELECT_V2", (8,), (1, 4, 5, 8), (1, 4, 5, 8)),
            ("SELECT_V2", (1,), (1, 4, 5, 8), (1, 4, 5, 8)),
            ("SELECT_V2", (5, 8), (1, 4, 5, 8), (1, 4, 5, 8)),
            ("SELECT_V2", (4, 5, 8), (1, 4, 5, 8), (1, 4, 5, 8)),
            ("SELECT_V2", (1, 5, 8), (1, 4, 5, 8), (1, 4, 5, 8)),
            ("SELECT_V2", (1, 5, 1), (1, 4, 5, 8), (1, 4, 5, 8)),
            ("SELECT_V2", (1, 4, 1, 1), (1, 4, 5, 8), (1, 4, 5, 8)),
            ("SELECT_V2", (1, 1, 1, 8), (1, 4, 5, 8), (1, 4, 5, 8)),
            ("SELECT_V2", (5, 3), (2, 5, 3), (2, 5, 3)),
            ("SELECT_V2", (2, 5, 1), (2, 5, 3), (2, 5, 3)),
            ("SELECT_V2", (6,), (2, 6), (2, 6)),
            ("SELECT_V2", (7,), (2, 5, 7), (2, 5, 7)),
            ("SELECT_V2", (7,), (2, 4, 5, 7), (2, 4, 5, 7)),
            ("SELECT_V2", (4, 5, 7), (2, 4, 5, 7), (2, 4, 5, 7)),
            ("SELECT_V2", (1, 5, 7), (2, 4, 5, 7), (2, 4, 5, 7)),
            ("SELECT_V2", (1, 7), (2, 4, 5, 7), (2, 4, 5, 7)),
            ("SELECT_V2", (2, 7), (2, 2, 7), (2, 2, 7)),
            ("SELECT_V2", (1, 6), (2, 6), (2, 6)),
            ("SELECT_V2", (1, 1, 6), (1, 4, 5, 6), (1, 4, 5, 6)),
            ("SELECT", (1,), (1, 5, 6), (1, 5, 6)),
            ("SELECT_V2", (1, 4, 5, 8), (1, 4, 5, 8), (1, 1, 1, 8)),
            ("SELECT_V2", (2, 6), (2, 6), (2, 6)),
            ("SELECT_V2", (2, 5, 3), (2, 5, 3), (2, 5, 3)),
        )
    ),
    of("SELECT_V2", boolean(1, 4, 5, 8), floats(1, 4, 5, 8), numbers(), to=floats()),
    of("CAST", floats(1, 4, 5, 8), to=int32(), in_data_type="FLOAT32", out_data_type="INT32", note="to int32"),
    of("CAST", int32(1, 4, 5, 8), to=floats(), in_data_type="INT32", out_data_type="FLOAT32", note="to float"),
    of("CAST", boolean(2, 6), to=floats(), in_data_type="BOOL", out_data_type="FLOAT32", note="to float"),
    of("CAST", floats(2, 6), to=boolean(), in_data_type="FLOAT32", out_data_type="BOOL", note="to bool"),
    of("QUANTIZE", floats(1, 4, 5, 8), to=int8()),
    of("QUANTIZE", int8(1, 4, 5, 8), to=int8(scale=0.07, zero=9), version=2, note="again"),
    of("DEQUANTIZE", int8(1, 4, 5, 8), to=floats(), version=2),
    of("DEQUANTIZE", Slot(shape=(2, 6), dtype="FLOAT16"), to=floats(), version=3),
    of("PRELU", floats(1, 4, 5, 8), numbers(8)),
    of("PRELU", floats(1, 4, 5, 8), numbers(1, 1, 8)),
    of("PRELU", floats(1, 4, 5, 8), numbers(4, 5, 8)),
    of("PRELU", floats(1, 4, 5, 8), numbers(4, 5, 1)),
    of("PRELU", floats(1, 4, 5, 8), floats(1, 1, 8)),
    of("PRELU", floats(1, 4, 5, 8), numbers(1, 4, 5, 8)),
    of("PRELU", floats(1, 4, 5, 8), numbers(1, 1, 1, 8)),
    of("PRELU", floats(2, 5, 3), numbers(5, 3)),
    of("PRELU", floats(2, 5, 3), numbers(3)),
    of("PRELU", floats(1, 5, 8), numbers(1, 5, 8)),
    of("PRELU", floats(1, 4, 5, 8), numbers(1)),
)
CASES = (*UNARY, *UNARY_MORE, *BINARY, *BINARY_MORE, *COMPARED)
