"""Sums of products as a GPU makes them in float16, which no software GPU has.

LiteRT's GPU accelerator chooses ``CalculationsPrecision::F16`` where the GPU has float16 (delegate_opencl.cc:660-665,
LiteRT f67457790c9c): all data and all arithmetic in float16, the accumulators of convolutions and matrix products
included. Its kernels take four input channels at a time (``tflite/delegates/gpu/common/precision.h``: "calculates 4
mads in F16, sum them, then ... add to accumulator"), kernel position by kernel position. The model here rounds each
sum of four products once, and the accumulator after every addition. Real kernels add in an order that differs by GPU,
so levels agree to a decibel or two, not bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from converters.tflite_graph.read import TfliteOp

_SLICE = 4
"""Channels a GPU texture keeps together."""

ACCUMULATED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL")
"""Kinds whose sums are made here; all others are computed in float32 and their results rounded."""


def rounded(values: np.ndarray) -> np.ndarray:
    """The nearest float16 values, kept as float32: what a float16 texture gives back."""
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


def accumulate(op: TfliteOp, inputs: list[np.ndarray | None], output_shape: tuple[int, ...]) -> np.ndarray | None:
    """One operator of `ACCUMULATED` with its sums in float16, None for a variant that is not modelled.

    Args:
        op: the operator.
        inputs: its inputs as float32 arrays of float16 values, in the file's layout.
        output_shape: shape of the result.

    Returns:
        The result as float32, of float16 values, fused activation included.
    """
    data, weights = inputs[0], inputs[1]
    if data is None or weights is None:
        return None
    bias = inputs[2] if len(inputs) > 2 else None
    match op.kind:
        case "CONV_2D" if data.shape[3] == weights.shape[3]:
            terms, rows = _convolution(op, data, weights, output_shape), weights.shape[0]
        case "DEPTHWISE_CONV_2D":
            repeated = np.repeat(data, weights.shape[3] // data.shape[3], axis=3)
            terms, rows = _depthwise(op, repeated, weights, output_shape), weights.shape[3]
        case "FULLY_CONNECTED":
            terms, rows = _slices(_half(data.reshape(-1, weights.shape[1])), _half(weights).T), weights.shape[0]
        case "BATCH_MATMUL":
            left = data.swapaxes(-1, -2) if op.options.get("adj_x") else data
            right = weights.swapaxes(-1, -2) if op.options.get("adj_y") else weights
            terms, rows = _slices(_half(left), _half(right)), output_shape[-1]
        case "TRANSPOSE_CONV" if inputs[2] is not None and op.options.get("padding") == "VALID":
            return _transposed(op, inputs[2], weights, inputs[3] if len(inputs) > 3 else None, output_shape)
        case _:
            return None
    total = _sum(terms)
    if bias is not None and op.kind != "BATCH_MATMUL":
        total = total + _half(bias.reshape(1, rows))
    return _activated(total.float().numpy().reshape(output_shape), op)


def _half(values: np.ndarray) -> Any:
    from converters.frameworks import torch

    return torch().from_numpy(np.ascontiguousarray(values)).half()


def _sum(terms: Iterator[Any]) -> Any:
    total = None
    for term in terms:
        total = term if total is None else total.add_(term)
    return total


def _slices(left: Any, right: Any) -> Iterator[Any]:
    """Products of four channels at a time, each sum of four rounded once."""
    for first in range(0, left.shape[-1], _SLICE):
        part = left[..., first : first + _SLICE].float() @ right[..., first : first + _SLICE, :].float()
        yield part.half()


def _windows(op: TfliteOp, data: np.ndarray, kernel: tuple[int, int], made: tuple[int, ...]) -> Iterator[np.ndarray]:
    """By kernel position, the inputs that meet it: [batch, rows, columns, channels]."""
    strides = (int(op.options.get("stride_h", 1)), int(op.options.get("stride_w", 1)))
    dilation = (int(op.options.get("dilation_h_factor", 1)), int(op.options.get("dilation_w_factor", 1)))
    pads = [(0, 0)]
    for axis in (0, 1):
        reach = (made[1 + axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        missing = max(0, reach - data.shape[1 + axis])
        before = missing // 2 if op.options.get("padding") == "SAME" else 0
        pads.append((before, missing - before))
    padded = np.pad(data, [*pads, (0, 0)])
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            top, left = row * dilation[0], column * dilation[1]
            yield padded[
                :,
                top : top + (made[1] - 1) * strides[0] + 1 : strides[0],
                left : left + (made[2] - 1) * strides[1] + 1 : strides[1],
            ]


def _convolution(op: TfliteOp, data: np.ndarray, weights: np.ndarray, made: tuple[int, ...]) -> Iterator[Any]:
    outputs, height, width, channels = weights.shape
    kernels = weights.transpose(1, 2, 3, 0).reshape(height * width, channels, outputs)
    for window, kernel in zip(_windows(op, data, (height, width), made), kernels, strict=True):
        yield from _slices(_half(window.reshape(-1, channels)), _half(kernel))


def _depthwise(op: TfliteOp, data: np.ndarray, weights: np.ndarray, made: tuple[int, ...]) -> Iterator[Any]:
    _, height, width, channels = weights.shape
    kernels = weights.reshape(height * width, channels)
    for window, kernel in zip(_windows(op, data, (height, width), made), kernels, strict=True):
        yield _half(window.reshape(-1, channels)) * _half(kernel.reshape(1, channels))


def _transposed(
    op: TfliteOp, data: np.ndarray, weights: np.ndarray, bias: np.ndarray | None, made: tuple[int, ...]
) -> np.ndarray:
    """VALID padding: every kernel position adds the products of all inputs at its own outputs."""
    from converters.frameworks import torch

    outputs, height, width, channels = weights.shape
    strides = (int(op.options.get("stride_h", 1)), int(op.options.get("stride_w", 1)))
    total = torch().zeros(made, dtype=torch().float16)
    rows, columns = data.shape[1:3]
    for row in range(height):
        for column in range(width):
            for part in _slices(_half(data.reshape(-1, channels)), _half(weights[:, row, column].T)):
                target = total[
                    :,
                    row : row + (rows - 1) * strides[0] + 1 : strides[0],
                    column : column + (columns - 1) * strides[1] + 1 : strides[1],
                ]
                target.add_(part.reshape(data.shape[0], rows, columns, outputs))
    if bias is not None:
        total = total + _half(bias.reshape(1, 1, 1, -1))
    return _activated(total.float().numpy(), op)


def _activated(values: np.ndarray, op: TfliteOp) -> np.ndarray:
    limits = {"RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
    activation = op.options.get("fused_activation_function", "NONE")
    if activation in limits:
        return np.clip(values, *limits[activation]).astype(np.float32)
    return rounded(np.tanh(values)) if activation == "TANH" else values
