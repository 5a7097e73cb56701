"""Stores the constants of chosen operators as float16.

Each becomes a float16 tensor and a DEQUANTIZE in front of the operator. XNNPACK, the GPU and NNAPI fold that pair into
their own float16 weights; elsewhere it runs once. Results are those of the float32 file with its constants rounded to
float16, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.errors import InputError
from converters.tflite_graph.read import TfliteOp
from converters.tflite_graph.widened_constants import Narrowed, Narrowing, widened_constants

_DEQUANTIZE_FLOAT16_VERSION = 3


def float16_constants(content: bytes, select: Callable[[TfliteOp], bool], *, min_elements: int = 2) -> bytes:
    """The file with the float32 constants of the operators ``select`` chooses stored as float16.

    Args:
        content: a file; its first graph is changed.
        select: told each operator; true chooses it. ``op.name`` contains the names of its Keras layers.
        min_elements: constants with fewer elements stay (a scalar saves nothing and costs an operator).

    Raises:
        InputError: the file is damaged, or a constant exceeds float16's range (65504).
    """

    def narrow(op: TfliteOp, position: int, values: np.ndarray, name: str) -> Narrowed | None:
        return None if values.size < min_elements else _halved(values, name)

    return widened_constants(
        content, select, Narrowing(suffix="float16", version=_DEQUANTIZE_FLOAT16_VERSION, narrow=narrow)
    )


def _halved(values: np.ndarray, name: str) -> Narrowed:
    with np.errstate(over="ignore"):
        halves = values.astype("<f2")
    if not np.all(np.isfinite(halves[np.isfinite(values)])):
        raise InputError(
            f"a constant of {name!r} is {np.abs(values).max():.6g}, beyond float16's 65504",
            where=name,
            hint="keep this layer in float32",
        )
    return Narrowed(data=halves, dtype=schema.TensorType.FLOAT16)
