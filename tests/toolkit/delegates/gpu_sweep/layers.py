"""Convolutions, pooling, products of matrices, resizing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.toolkit.delegates.gpu_sweep.case import (
    NO_ACTIVATION,
    Case,
    bias32,
    const,
    floats,
    int8,
    int32,
    numbers,
    of,
    weights8,
)
from tests.toolkit.delegates.op_examples import Slot


def _window(padding: str, strides: tuple[int, int] = (1, 1), dilation: tuple[int, int] = (1, 1)) -> dict[str, object]:
    return {
        "padding": padding,
        "stride_h": strides[0],
        "stride_w": strides[1],
        "dilation_h_factor": dilation[0],
        "dilation_w_factor": dilation[1],
    }


def _note(padding: str, strides: tuple[int, int], dilation: tuple[int, int]) -> str:
    text = padding + (f" stride {strides[0]}x{strides[1]}" if strides != (1, 1) else "")
    return text + (f" dilation {dilation[0]}x{dilation[1]}" if dilation != (1, 1) else "")


def _conv(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    padding: str = "SAME",
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    *,
    activation: str = "NONE",
    bias: bool = True,
    computed: bool = False,
) -> Case:
    weights = floats(*kernel) if computed else numbers(*kernel)
    note = _note(padding, strides, dilation) + ("" if activation == "NONE" else f" {activation}")
    inputs = (floats(*shape), weights, *((numbers(kernel[0]),) if bias else ()))
    options = {**_window(padding, strides, dilation), "fused_activation_function": activation}
    return of("CONV_2D", *inputs, note=note, **options)  # type: ignore[arg-type]


CONVOLUTIONS = (
    _conv((1, 6, 7, 8), (12, 3, 3, 8)),
    _conv((1, 6, 7, 8), (12, 3, 3, 8), "VALID"),
    _conv((1, 1, 33, 6), (7, 1, 5, 6)),
    _conv((1, 1, 33, 6), (7, 1, 5, 6), "VALID", (1, 2)),
    _conv((1, 1, 33, 6), (7, 1, 4, 6), "SAME", (1, 3)),
    _conv((1, 1, 40, 8), (8, 1, 3, 8), "SAME", (1, 1), (1, 3)),
    _conv((1, 1, 40, 8), (8, 1, 7, 8), "SAME", (1, 1), (1, 5)),
    _conv((1, 1, 40, 8), (8, 1, 3, 8), "VALID", (1, 1), (1, 9)),
    _conv((2, 6, 7, 8), (4, 1, 1, 8)),
    _conv((1, 6, 7, 8), (4, 2, 2, 8), "SAME", (2, 2)),
    _conv((1, 6, 7, 8), (4, 3, 3, 8), activation="RELU"),
    _conv((1, 6, 7, 8), (4, 3, 3, 8), activation="RELU6"),
    _conv((1, 6, 7, 8), (4, 3, 3, 8), computed=True),
    _conv((1, 6, 7, 8), (4, 1, 1, 8), computed=True),
    *(
        _conv(shape, kernel, padding, *more)
        for shape, kernel in (
            ((1, 1, 24, 8), (8, 1, 3, 4)),
            ((1, 1, 24, 16), (8, 1, 5, 4)),
            ((1, 1, 23, 8), (16, 1, 3, 2)),
            ((1, 6, 7, 8), (4, 3, 3, 4)),
            ((1, 6, 7, 8), (16, 3, 3, 4)),
            ((1, 6, 8, 16), (8, 3, 3, 2)),
            ((1, 6, 8, 12), (6, 1, 1, 4)),
            ((1, 1, 24, 16), (8, 1, 3, 8)),
            ((1, 1, 24, 16), (24, 1, 3, 8)),
            ((1, 1, 24, 12), (8, 1, 3, 6)),
            ((1, 1, 24, 12), (12, 1, 3, 4)),
            ((1, 1, 24, 8), (12, 1, 3, 4)),
            ((1, 1, 24, 24), (8, 1, 3, 12)),
            ((1, 1, 24, 6), (8, 1, 3, 3)),
            ((1, 1, 24, 10), (8, 1, 3, 5)),
            ((1, 1, 24, 20), (8, 1, 3, 10)),
            ((1, 1, 24, 4), (8, 1, 3, 2)),
            ((1, 1, 24, 4), (8, 1, 3, 1)),
            ((1, 1, 24, 16), (12, 1, 3, 8)),
            ((1, 1, 24, 16), (6, 1, 3, 8)),
            ((1, 1, 24, 16), (2, 1, 3, 8)),
        )
        for padding, *more in (("SAME",), ("VALID",))
    ),
    _conv((1, 1, 24, 8), (8, 1, 3, 4), "SAME", (1, 2)),
    _conv((1, 1, 24, 8), (8, 1, 3, 4), "SAME", (1, 1), (1, 2)),
    of(
        "CONV_2D",
        int8(1, 6, 7, 8),
        weights8(12, 3, 3, 8),
        bias32(12, 0.001),
        to=int8(scale=0.5),
        note="SAME",
        version=3,
        **{**_window("SAME"), **NO_ACTIVATION},
    ),
    of(
        "CONV_2D",
        int8(1, 1, 24, 8),
        weights8(8, 1, 3, 4),
        bias32(8, 0.001),
        to=int8(scale=0.3),
        note="grouped SAME",
        version=3,
        **{**_window("SAME"), **NO_ACTIVATION},
    ),
    of("CONV_2D", floats(1, 6, 7, 8), weights8(12, 3, 3, 8), numbers(12), note="hybrid", version=2,
       **{**_window("SAME"), **NO_ACTIVATION}),
)  # fmt: skip


def _depthwise(shape: tuple[int, ...], kernel: tuple[int, ...], padding: str = "SAME", *more: tuple[int, int]) -> Case:
    strides, dilation = (*more, (1, 1), (1, 1))[:2]
    return of(
        "DEPTHWISE_CONV_2D",
        floats(*shape),
        numbers(*kernel),
        numbers(kernel[3]),
        note=_note(padding, strides, dilation),
        depth_multiplier=kernel[3] // shape[3],
        **{**_window(padding, strides, dilation), **NO_ACTIVATION},
    )


DEPTHWISE = (
    _depthwise((1, 6, 7, 8), (1, 3, 3, 8)),
    _depthwise((1, 6, 7, 8), (1, 3, 3, 8), "VALID", (2, 2)),
    _depthwise((1, 1, 33, 6), (1, 1, 5, 6)),
    _depthwise((1, 1, 33, 6), (1, 1, 5, 6), "SAME", (1, 1), (1, 3)),
    _depthwise((1, 1, 33, 6), (1, 1, 5, 12)),
    _depthwise((2, 6, 7, 3), (1, 3, 3, 6), "VALID"),
    of(
        "DEPTHWISE_CONV_2D",
        int8(1, 6, 7, 8),
        weights8(1, 3, 3, 8),
        bias32(8, 0.001),
        to=int8(scale=0.2),
        depth_multiplier=1,
        version=3,
        **{**_window("SAME"), **NO_ACTIVATION},
    ),
)


def _transposed(
    length: int, kernel: int, stride: int, padding: str, *, width: int = 8, bias: bool = False, height: int = 1
) -> Case:
    made = length * stride if padding == "SAME" else (length - 1) * stride + kernel
    rows = height * stride if padding == "SAME" else (height - 1) * stride + kernel
    shape = const([1, rows if height > 1 else 1, made, width])
    tall = kernel if height > 1 else 1
    return of(
        "TRANSPOSE_CONV",
        shape,
        numbers(width, tall, kernel, 6),
        floats(1, height, length, 6),
        *((numbers(width),) if bias else ()),
        to=floats(),
        note=f"{padding} stride {stride}",
        version=3 if bias else 1,
        padding=padding,
        stride_h=stride if height > 1 else 1,
        stride_w=stride,
        **NO_ACTIVATION,
    )


TRANSPOSED = (
    *(
        _transposed(length, kernel, stride, "SAME")
        for kernel, stride in ((16, 8), (4, 2), (5, 3), (3, 2), (11, 5), (8, 8), (2, 2), (7, 1), (3, 4))
        for length in (24, 25, 30)
    ),
    *(
        _transposed(25, kernel, stride, "VALID")
        for kernel, stride in ((16, 8), (4, 2), (5, 3), (11, 5), (3, 4), (7, 1))
    ),
    _transposed(25, 16, 8, "VALID", bias=True),
    _transposed(24, 16, 8, "SAME", bias=True),
    _transposed(6, 4, 2, "VALID", height=5),
    _transposed(6, 4, 2, "SAME", height=6),
    _transposed(6, 4, 2, "SAME", height=5),
    of(
        "TRANSPOSE_CONV",
        const([1, 1, 54, 8]),
        weights8(8, 1, 6, 8),
        int8(1, 1, 25, 8),
        to=int8(scale=0.3),
        note="VALID stride 2 int8",
        version=2,
        padding="VALID",
        stride_h=1,
        stride_w=2,
    ),
)


def _pool(
    kind: str, padding: str, filters: tuple[int, int], strides: tuple[int, int], slot: Slot, **more: object
) -> Case:
    options = {"filter_height": filters[0], "filter_width": filters[1], "padding": padding, "stride_h": strides[0],
               "stride_w": strides[1], **NO_ACTIVATION}  # fmt: skip
    note = f"{padding} {filters[0]}x{filters[1]} stride {strides[0]}x{strides[1]}"
    return of(kind, slot, note=note, **{**options, **more})  # type: ignore[arg-type]


POOLED = tuple(
    _pool(kind, padding, filters, strides, slot)
    for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D")
    for padding, filters, strides, slot in (
        ("SAME", (2, 2), (2, 2), floats(1, 6, 7, 8)),
        ("VALID", (3, 3), (1, 1), floats(2, 6, 7, 5)),
        ("SAME", (1, 4), (1, 2), floats(1, 1, 33, 6)),
        ("SAME", (2, 2), (2, 2), int8(1, 6, 7, 8)),
    )
)


def _product(left: Slot, right: Slot, *, adj_x: bool = False, adj_y: bool = False, **more: object) -> Case:
    note = ("adj x" if adj_x else "") + ("adj y" if adj_y else "")
    return of("BATCH_MATMUL", left, right, note=note, adj_x=adj_x, adj_y=adj_y, **more)  # type: ignore[arg-type]


PRODUCTS = (
    _product(floats(2, 4, 6), floats(2, 6, 5)),
    _product(floats(1, 2, 4, 6), floats(1, 2, 6, 5)),
    _product(floats(2, 3, 4, 6), floats(2, 3, 6, 5)),
    _product(floats(4, 6), floats(6, 5)),
    _product(floats(2, 4, 6), numbers(6, 5)),
    _product(floats(2, 4, 6), numbers(1, 6, 5)),
    _product(floats(2, 4, 6), numbers(2, 6, 5)),
    _product(floats(1, 2, 4, 6), numbers(1, 2, 6, 5)),
    _product(floats(1, 2, 4, 6), numbers(6, 5)),
    _product(floats(2, 4, 6), floats(2, 5, 6), adj_y=True),
    _product(floats(2, 6, 4), floats(2, 6, 5), adj_x=True),
    _product(floats(1, 2, 4, 6), floats(1, 2, 5, 6), adj_y=True),
    _product(floats(1, 4, 6), floats(2, 6, 5)),
    _product(floats(2, 4, 6), floats(1, 6, 5)),
    _product(floats(2, 4, 6), floats(6, 5)),
    _product(floats(1, 2, 4, 6), floats(1, 1, 6, 5)),
    _product(floats(1, 2, 4, 6), floats(2, 6, 5)),
    _product(numbers(2, 4, 6), floats(2, 6, 5)),
    _product(int8(2, 4, 6), int8(2, 6, 5), to=int8(scale=0.2), version=2),
    *(
        of(
            "FULLY_CONNECTED",
            floats(*shape),
            numbers(5, shape[-1]),
            *((numbers(5),) if bias else ()),
            note="keeps" if keeps else "",
            keep_num_dims=keeps,
            version=5,
            **NO_ACTIVATION,
        )
        for shape, bias, keeps in (
            ((3, 8), True, False),
            ((3, 8), False, False),
            ((2, 3, 8), True, True),
            ((2, 3, 8), True, False),
            ((1, 4, 3, 8), True, True),
            ((1, 4, 3, 8), True, False),
        )
    ),
    of("FULLY_CONNECTED", floats(3, 8), floats(5, 8), numbers(5), keep_num_dims=False, version=5, **NO_ACTIVATION),
    of("FULLY_CONNECTED", floats(3, 8), floats(5, 8), None, keep_num_dims=False, version=6, **NO_ACTIVATION),
    of("FULLY_CONNECTED", floats(3, 8), floats(8, 8), None, keep_num_dims=False, version=6, **NO_ACTIVATION),
    of("FULLY_CONNECTED", floats(3, 8), floats(8, 8), numbers(8), keep_num_dims=False, version=6, **NO_ACTIVATION),
    of("FULLY_CONNECTED", floats(2, 3, 8), floats(8, 8), numbers(8), keep_num_dims=True, version=6, **NO_ACTIVATION),
    of("FULLY_CONNECTED", floats(3, 8), weights8(5, 8), numbers(5), note="hybrid", keep_num_dims=False, version=3,
       **NO_ACTIVATION),
    of("FULLY_CONNECTED", int8(3, 8), weights8(5, 8), bias32(5, 0.001), to=int8(scale=0.2), keep_num_dims=False,
       version=4, **NO_ACTIVATION),
    of("FULLY_CONNECTED", floats(3, 8), numbers(5, 8), numbers(5), note="RELU", keep_num_dims=False, version=5,
       fused_activation_function="RELU"),
)  # fmt: skip

RESIZED = tuple(
    of(kind, floats(1, 5, 6, 4), const(size), note=f"to {size} {flags}", version=3, **options)  # type: ignore[arg-type]
    for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
    for size in ([10, 12], [7, 9])
    for flags, options in (
        ("", {"align_corners": False, "half_pixel_centers": False}),
        ("corners", {"align_corners": True, "half_pixel_centers": False}),
        ("half", {"align_corners": False, "half_pixel_centers": True}),
    )
)
MORE = (
    of("DEPTH_TO_SPACE", floats(1, 3, 4, 8), block_size=2),
    of("DEPTH_TO_SPACE", floats(1, 3, 4, 12), block_size=2),
    of("DEPTH_TO_SPACE", floats(1, 3, 4, 9), block_size=3),
    of("SPACE_TO_DEPTH", floats(1, 4, 6, 1), block_size=2),
    of("CUMSUM", floats(9), const(0)),
    of("CUMSUM", floats(2, 5, 3), const(-2), note="axis -2"),
    of("CUMSUM", floats(2, 6), const(-1), note="axis -1"),
    of("SPACE_TO_DEPTH", floats(1, 4, 6, 3), block_size=2),
    of("ONE_HOT", int32(1, 1, 6, 1), const(8), const(np.float32(1), "FLOAT32"), const(np.float32(0), "FLOAT32"),
       to=floats(), axis=-1, ranges={0: (0, 7)}),
    of("ONE_HOT", int32(6), const(8), const(np.float32(1), "FLOAT32"), const(np.float32(0), "FLOAT32"),
       to=floats(), axis=-1, ranges={0: (0, 7)}),
    of("EMBEDDING_LOOKUP", int32(6), numbers(9, 8), to=floats(), ranges={0: (0, 8)}),
    of("EMBEDDING_LOOKUP", int32(6), numbers(9, 2, 8), to=floats(), ranges={0: (0, 8)}),
    of("EMBEDDING_LOOKUP", int32(6), replace(weights8(9, 8), scales=(0.02,) * 9, zero_points=(0,) * 9), to=floats(),
       ranges={0: (0, 8)}, note="int8 scale by row", version=3),
    of("EMBEDDING_LOOKUP", int32(6), weights8(9, 8), to=floats(), ranges={0: (0, 8)}, note="int8", version=3),
    of("CUMSUM", floats(1, 4, 5, 8), const(3), note="axis 3"),
    of("CUMSUM", floats(1, 4, 5, 8), const(2)),
    of("CUMSUM", floats(2, 6), const(1)),
    of("CUMSUM", floats(2, 5, 3), const(1)),
    of("CUMSUM", floats(2, 5, 3), const(0), note="axis 0"),
    of("CUMSUM", floats(2, 6), const(0), note="axis 0"),
    of("CUMSUM", floats(1, 4, 5, 7), const(3)),
    of("CUMSUM", floats(2, 5, 3), const(-1), note="axis -1"),
    of("CUMSUM", floats(1, 4, 5, 8), const(-1), note="axis -1"),
    of("CUMSUM", floats(1, 4, 5, 8), const(2), exclusive=True, note="exclusive"),
    of("CUMSUM", floats(1, 4, 5, 8), const(2), reverse=True, note="reversed"),
)  # fmt: skip
CASES = (*CONVOLUTIONS, *DEPTHWISE, *TRANSPOSED, *POOLED, *PRODUCTS, *RESIZED, *MORE)
