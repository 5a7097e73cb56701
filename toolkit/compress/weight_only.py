"""8-bit weight matrices beside float activations (``int8-weights``): what a step bound by memory wants.

A token of an autoregressive decoder reads every weight once and computes little: bytes decide its time. Nothing is
calibrated, and every bucket of a part stores the same bytes, so that merged signatures share one copy.
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
