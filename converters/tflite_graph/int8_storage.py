"""Stores weights and tables of chosen layers as 8-bit integers and widens them to float32 when the file is loaded.

A quarter of the bytes, float arithmetic: only the weights are rounded, each to half a step of its output channel. What
runs is the float32 graph, at its speed and with its memory. XNNPACK widens such weights once, while it loads; without
it TensorFlow Lite's DEQUANTIZE does so at the first call, and keeps what it made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.int8_weights import rounded_rows
from converters.tflite_graph.read import TfliteOp
from converters.tflite_graph.widened_constants import Narrowed, Narrowing, widened_constants

_MATRIX: Final = {
    "CONV_2D": (1, 0),
    "CONV_3D": (1, 4),
    "DEPTHWISE_CONV_2D": (1, 3),
    "FULLY_CONNECTED": (1, 0),
    "GATHER": (0, 0),
    "TRANSPOSE_CONV": (1, 0),
}
"""Where the matrix stands among the inputs, and the axis of its output channels or rows, in TFLite's own layouts."""
_DEQUANTIZE_PER_CHANNEL_VERSION = 5


def int8_storage(content: bytes, select: Callable[[TfliteOp], bool]) -> bytes:
    """The file with matrices of the operators ``select`` chooses stored as int8, a scale for each channel or row.

    Operators of other kinds, and kernels with one number for each channel, stay as they are.

    Args:
        content: a file; its first graph is changed.
        select: told each operator; true chooses it.

    Raises:
        InputError: the file is damaged.
    """
    return widened_constants(
        content, select, Narrowing(suffix="int8", version=_DEQUANTIZE_PER_CHANNEL_VERSION, narrow=_narrow)
    )


def _narrow(op: TfliteOp, position: int, values: np.ndarray, name: str) -> Narrowed | None:
    place, axis = _MATRIX.get(op.kind, (None, 0))
    if position != place or sum(size > 1 for size in values.shape) < 2:
        return None
    rows = np.moveaxis(values, axis, 0)
    rounded, scales = rounded_rows(rows.reshape(len(rows), -1))
    quantization = schema.QuantizationParametersT()
    quantization.scale = scales
    quantization.zeroPoint = np.zeros(len(scales), np.int64)
    quantization.quantizedDimension = axis
    stored = np.moveaxis(rounded.reshape(rows.shape), 0, axis)
    return Narrowed(data=stored, dtype=schema.TensorType.INT8, quantization=quantization)
