"""8-bit weights beside float activations: ``int8-weights`` and ``int8-storage``.

A token of an autoregressive decoder reads every weight once and computes little: bytes decide its time, and
``int8-weights`` multiplies by the stored bytes. ``int8-storage`` saves the file's bytes only: weights are widened while
the file is loaded, and arithmetic is float. Nothing is calibrated, and every bucket of a part stores the same bytes, so
that merged signatures share one copy.
"""

from __future__ import annotations

from collections.abc import Callable

from converters.tflite_graph.read import TfliteOp
from toolkit.compress.audit import operators_asking
from toolkit.compress.precision import PrecisionPlan
from toolkit.recipe.schema import Precision

Narrow = Callable[[bytes, Callable[[TfliteOp], bool]], bytes]
"""Stores the constants of the operators chosen in another form."""


def store_as(precision: Precision, content: bytes, plan: PrecisionPlan, narrow: Narrow) -> bytes:
    """The file with the constants of operators that are asked to have ``precision`` stored so.

    Args:
        precision: of the plan.
        content: the part's file, those operators still in float32.
        plan: what is asked of each layer.
        narrow: stores them.
    """
    if not plan.layers_asking(precision):
        return content
    chosen = operators_asking(content, plan, precision)
    return narrow(content, lambda operator: operator.index in chosen)


def store_int8_weights(content: bytes, plan: PrecisionPlan) -> bytes:
    """``int8-weights``: matrices that are multiplied by as they are stored; arguments as for ``store_as``."""
    from converters.tflite_graph.int8_weights import int8_weights

    return store_as("int8-weights", content, plan, int8_weights)


def store_int8_storage(content: bytes, plan: PrecisionPlan) -> bytes:
    """``int8-storage``: kernels that are widened while loading; arguments as for ``store_as``."""
    from converters.tflite_graph.int8_storage import int8_storage

    return store_as("int8-storage", content, plan, int8_storage)
