"""8-bit weights beside float activations: ``int8-weights`` and ``int8-storage``.

A token of an autoregressive decoder reads every weight once and computes little: bytes decide its time, and
``int8-weights`` multiplies by the stored bytes. ``int8-storage`` saves the file's bytes only: weights are widened while
the file is loaded, and arithmetic is float. Nothing is calibrated, and every bucket of a part stores the same bytes, so
that merged signatures share one copy.
"""

from __future__ import annotations

from toolkit.compress.audit import operators_asking
from toolkit.compress.precision import PrecisionPlan


def store_int8_weights(content: bytes, plan: PrecisionPlan) -> bytes:
    """The file with the matrices of operators that are asked to be ``int8-weights`` stored so.

    Args:
        content: the part's file, those operators still in float32.
        plan: what is asked of each layer.
    """
    from converters.tflite_graph.int8_weights import int8_weights

    if not plan.layers_asking("int8-weights"):
        return content
    chosen = operators_asking(content, plan, "int8-weights")
    return int8_weights(content, lambda operator: operator.index in chosen)


def store_int8_storage(content: bytes, plan: PrecisionPlan) -> bytes:
    """The file with the kernels of operators that are asked to be ``int8-storage`` stored so; arguments as above."""
    from converters.tflite_graph.int8_storage import int8_storage

    if not plan.layers_asking("int8-storage"):
        return content
    chosen = operators_asking(content, plan, "int8-storage")
    return int8_storage(content, lambda operator: operator.index in chosen)
