"""Operators the accelerator has no parser for, and files of two operators of which it takes one."""

from __future__ import annotations

import numpy as np

from tests.toolkit.delegates.gpu_sweep.case import NO_ACTIVATION, POSITIVE, const, floats, int32, numbers, of
from tests.toolkit.delegates.op_examples import Slot

_BLOCK = {"crops": const(np.zeros((2, 2), np.int32))}
_POOL = {"filter_height": 2, "filter_width": 2, "padding": "SAME", "stride_h": 2, "stride_w": 2, **NO_ACTIVATION}

CASES = (
    of("LOG_SOFTMAX", floats(1, 4, 5, 8)),
    of("LOG_SOFTMAX", floats(1, 4, 5, 8), then="TANH", note="then tanh"),
    of("L2_NORMALIZATION", floats(1, 4, 5, 8), **NO_ACTIVATION),
    of("L2_POOL_2D", floats(1, 4, 6, 8), ranges={0: POSITIVE}, **_POOL),
    of("LOCAL_RESPONSE_NORMALIZATION", floats(1, 4, 5, 8), radius=2, bias=1.0, alpha=0.1, beta=0.5),
    of("EXPAND_DIMS", floats(4, 5, 8), const(0)),
    of("SQUEEZE", floats(1, 4, 5, 8), squeeze_dims=[0]),
    of("SHAPE", floats(1, 4, 5, 8), to=int32(), out_type=2),
    of("ZEROS_LIKE", floats(1, 4, 5, 8)),
    of("ARG_MIN", floats(2, 9), const(1), to=int32(), output_type="INT32"),
    of("FILL", const([2, 3]), floats(), to=floats()),
    of("BROADCAST_TO", floats(1, 1, 1, 8), const([1, 4, 5, 8]), version=2),
    of("BATCH_TO_SPACE_ND", floats(4, 2, 3, 8), const([2, 2]), _BLOCK["crops"]),
    of("SPACE_TO_BATCH_ND", floats(1, 4, 6, 8), const([2, 2]), _BLOCK["crops"]),
    of("GATHER_ND", floats(8, 4), const([[2], [1]])),
    of("SCATTER_ND", const([[2], [1]]), floats(2, 4), const([8, 4]), to=floats()),
    of("RANGE", int32(), const(9), const(1), ranges={0: (0, 0)}),
    of("RANK", floats(2, 9), to=int32()),
    of("REVERSE_SEQUENCE", floats(2, 4, 8), const([3, 2]), seq_dim=1, batch_dim=0),
    of("WHERE", Slot(shape=(6,), dtype="BOOL"), to=Slot(dtype="INT64")),
    of("EXPAND_DIMS", floats(5, 8), const(0), then="RELU", note="then relu"),
    of("ADD", floats(1, 4, 5, 8), numbers(8), then="RELU", note="then relu", **NO_ACTIVATION),
    of("ADD", floats(1, 4, 5, 8), numbers(8), then="LOG_SOFTMAX", note="then log softmax", **NO_ACTIVATION),
    of("BITCAST", floats(2, 6), to=int32()),
    of("STABLEHLO_SHIFT_LEFT", int32(2, 6), int32(2, 6), ranges={0: (0, 9), 1: (0, 3)}),
    of("MUL", Slot(shape=(2, 6), dtype="INT64"), Slot(shape=(2, 6), dtype="INT64"), **NO_ACTIVATION),
)
