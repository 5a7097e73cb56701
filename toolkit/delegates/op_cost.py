"""Multiply-adds of one operator, counted from its shapes."""

from __future__ import annotations

from math import prod

from toolkit.delegates.op_view import OpView


def multiply_adds(view: OpView) -> int:
    """Multiply-adds of convolutions and matrix products; 0 for every other operator."""
    kind = view.op.kind
    out, data, weights = view.shape("output0"), view.shape("input0"), view.shape("input1")
    if out is None or data is None or weights is None:
        return 0
    if kind == "CONV_2D":  # weights [out, height, width, in / groups]
        return prod(out) * prod(weights[1:])
    if kind == "DEPTHWISE_CONV_2D":  # weights [1, height, width, out]
        return prod(out) * prod(weights[1:3])
    if kind == "TRANSPOSE_CONV":  # weights [out, height, width, in]; the signal is input 2
        signal = view.shape("input2") or ()
        return prod(signal[:3]) * prod(weights)
    if kind == "FULLY_CONNECTED":  # weights [out, in]
        return prod(out) * weights[-1]
    if kind == "BATCH_MATMUL":
        inner = data[-2] if view.op.options.get("adj_x") else data[-1]
        return prod(out) * inner
    return 0
