"""What each TensorFlow function onnx2tf calls means, as an operator of the graph.

One entry for each function: a small function of the call's arguments, by their TensorFlow names. A function without
an entry is refused by name; nothing is guessed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from converters.errors import UnsupportedOp
from converters.keras_graph.ir import Node, Value
from converters.keras_graph.layer_calls import LAYERS

Arguments = Mapping[str, Any]
Translator = Callable[[Arguments, list[Value]], list[Node]]


def translate(layer: Any, args: Any, kwargs: dict[str, Any], results: list[Value], source: str) -> list[Node]:
    """The operators a Keras call stands for; they compute ``results``.

    Raises:
        UnsupportedOp: no translation is known.
    """
    symbol = getattr(layer, "symbol", None)
    if symbol is None:
        handler = LAYERS.get(type(layer).__name__)
        if handler is not None:
            return handler(layer, args, kwargs, results)
        symbol = f"layer {type(layer).__module__}.{type(layer).__name__}"
    elif symbol in TRANSLATORS:
        bound = inspect.signature(layer.function).bind(*args, **kwargs)
        bound.apply_defaults()
        return TRANSLATORS[symbol](bound.arguments, results)
    raise UnsupportedOp(
        f"no layer is known for the TensorFlow function {symbol!r}",
        where=source,
        hint="replace this torch layer by one built from convolutions, linear layers and element-wise functions",
    )


def _one(kind: str, inputs: list[Any], results: list[Value], **attributes: Any) -> list[Node]:
    inputs = [item if isinstance(item, Value) else np.asarray(item) for item in inputs]
    return [Node(kind, inputs, results, attributes)]


def _unary(function: str, argument: str = "x") -> Translator:
    return lambda a, r: _one("unary", [a[argument]], r, function=function)


def _binary(function: str, left: str = "x", right: str = "y") -> Translator:
    def build(a: Arguments, r: list[Value]) -> list[Node]:
        dtype = next(item.dtype for item in (a[left], a[right]) if isinstance(item, Value))
        operands = [i if isinstance(i, Value) else np.asarray(i, dtype) for i in (a[left], a[right])]
        return _one("binary", operands, r, function=function)

    return build


def _reduce(function: str) -> Translator:
    def build(a: Arguments, r: list[Value]) -> list[Node]:
        data = a["input_tensor"]
        axes = a["axis"]
        axes = range(len(data.shape)) if axes is None else np.atleast_1d(axes)
        axes = tuple(int(axis) % len(data.shape) for axis in axes)
        return _one("reduce", [data], r, function=function, axes=axes, keepdims=bool(a["keepdims"]))

    return build


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in np.atleast_1d(values))


def _spatial(values: Any) -> tuple[int, int]:
    """Two spatial factors out of the forms TensorFlow accepts: one number, two, or four with batch and channels."""
    if values is None:
        return (1, 1)
    values = _ints(values)
    if len(values) == 1:
        return (values[0], values[0])
    return (values[1], values[2]) if len(values) == 4 else (values[0], values[1])


def _reshape(argument: str) -> Translator:
    return lambda a, r: _one("reshape", [a[argument]], r, shape=r[0].shape)


def _transpose(a: Arguments, r: list[Value]) -> list[Node]:
    data = a["a"]
    permutation = a["perm"]
    permutation = tuple(reversed(range(len(data.shape)))) if permutation is None else _ints(permutation)
    return _one("permute", [data], r, permutation=permutation)


def _padding(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else tuple(_ints(pair) for pair in value)


def _convolution(a: Arguments, r: list[Value]) -> list[Node]:
    filters = a["filters"] if a.get("filters") is not None else a["filter"]
    data = a["input"]
    return _one(
        "conv2d",
        [data],
        r,
        kernel=np.asarray(filters),
        bias=None,
        strides=_spatial(a["strides"]),
        padding=_padding(a["padding"]),
        dilations=_spatial(a["dilations"]),
        groups=data.shape[-1] // np.asarray(filters).shape[2],
    )


def _depthwise(a: Arguments, r: list[Value]) -> list[Node]:
    return _one(
        "depthwise_conv2d",
        [a["input"]],
        r,
        kernel=np.asarray(a["filter"]),
        bias=None,
        strides=_spatial(a["strides"]),
        padding=_padding(a["padding"]),
        # TensorFlow's first form of it has both names and a default of None for each.
        dilations=_spatial(a.get("rate") if a.get("dilations") is None else a["dilations"]),
        groups=1,
    )


def _conv_transpose(a: Arguments, r: list[Value]) -> list[Node]:
    return _one(
        "conv2d_transpose",
        [a["input"]],
        r,
        kernel=np.asarray(a["filters"]),
        bias=None,
        strides=_spatial(a["strides"]),
        padding=_padding(a["padding"]),
    )


def _pad(a: Arguments, r: list[Value]) -> list[Node]:
    paddings = tuple(_ints(pair) for pair in np.asarray(a["paddings"]))
    value = float(np.asarray(a["constant_values"]))
    return _one("pad", [a["tensor"]], r, paddings=paddings, mode=a["mode"].upper(), value=value)


def _getitem(a: Arguments, r: list[Value]) -> list[Node]:
    tensor = a.get("tensor", a.get("a"))
    spec = a["slice_spec"]
    parts = list(spec) if isinstance(spec, (tuple, list)) else [spec]
    ranges, kept = [], []
    parts += [slice(None)] * (len(tensor.shape) - len(parts))
    for size, part in zip(tensor.shape, parts, strict=True):
        if isinstance(part, dict):
            part = slice(part.get("start"), part.get("stop"), part.get("step"))
        if isinstance(part, slice):
            start, stop, step = (None if v is None else int(v) for v in (part.start, part.stop, part.step))
            ranges.append(slice(start, stop, step).indices(size))
            kept.append(True)
        else:
            index = int(part) % size
            ranges.append((index, index + 1, 1))
            kept.append(False)
    return _slice_and_shape(tensor, ranges, kept, r)


def _strided_slice(a: Arguments, r: list[Value]) -> list[Node]:
    tensor = a["input_"]
    begin, end = _ints(a["begin"]), _ints(a["end"])
    strides = _ints(a["strides"]) if a["strides"] is not None else (1,) * len(begin)
    if a["ellipsis_mask"] or a["new_axis_mask"]:
        raise UnsupportedOp("a strided slice with an ellipsis or new axes", hint="slice each axis explicitly")
    ranges, kept = [], []
    for axis, size in enumerate(tensor.shape):
        if axis >= len(begin):
            ranges.append((0, size, 1))
            kept.append(True)
            continue
        shrink = bool(a["shrink_axis_mask"] >> axis & 1)
        start = None if a["begin_mask"] >> axis & 1 else begin[axis]
        stop = None if a["end_mask"] >> axis & 1 else end[axis]
        if shrink:
            index = begin[axis] % size
            ranges.append((index, index + 1, 1))
        else:
            ranges.append(slice(start, stop, strides[axis]).indices(size))
        kept.append(not shrink)
    return _slice_and_shape(tensor, ranges, kept, r)


def _slice_and_shape(tensor: Value, ranges: list[Any], kept: list[bool], r: list[Value]) -> list[Node]:
    begin, end, strides = (tuple(int(part[i]) for part in ranges) for i in range(3))
    if all(kept):
        return _one("slice", [tensor], r, begin=begin, end=end, strides=strides)
    middle = Value(tuple(len(range(*part)) for part in ranges), tensor.dtype)
    return [
        *_one("slice", [tensor], [middle], begin=begin, end=end, strides=strides),
        *_one("reshape", [middle], r, shape=r[0].shape),
    ]


def _slice(a: Arguments, r: list[Value]) -> list[Node]:
    begin = _ints(a["begin"])
    end = tuple(start + size for start, size in zip(begin, r[0].shape, strict=True))
    return _one("slice", [a["input_"]], r, begin=begin, end=end, strides=(1,) * len(begin))


def _reverse(a: Arguments, r: list[Value]) -> list[Node]:
    data = a["tensor"]
    axes = {axis % len(data.shape) for axis in _ints(a["axis"])}
    begin = tuple(size - 1 if axis in axes else 0 for axis, size in enumerate(data.shape))
    end = tuple(-1 if axis in axes else size for axis, size in enumerate(data.shape))
    strides = tuple(-1 if axis in axes else 1 for axis in range(len(data.shape)))
    return _one("slice", [data], r, begin=begin, end=end, strides=strides)


def _split(a: Arguments, r: list[Value]) -> list[Node]:
    data = a["value"]
    axis = int(a["axis"]) % len(data.shape)
    return _one("split", [data], r, axis=axis, sizes=tuple(value.shape[axis] for value in r))


def _matmul(a: Arguments, r: list[Value]) -> list[Node]:
    transpose_a, transpose_b = bool(a.get("transpose_a")), bool(a.get("transpose_b"))
    return _one("matmul", [a["a"], a["b"]], r, transpose_a=transpose_a, transpose_b=transpose_b)


def _gather(a: Arguments, r: list[Value]) -> list[Node]:
    axis = int(a["axis"]) if a.get("axis") is not None else int(a.get("batch_dims") or 0)
    table = a["params"]
    rank = len(np.shape(table)) if not isinstance(table, Value) else len(table.shape)
    return _one("gather", [table, a["indices"]], r, axis=axis % rank)


def _concat(a: Arguments, r: list[Value]) -> list[Node]:
    return _one("concat", list(a["values"]), r, axis=int(a["axis"]) % len(r[0].shape))


def _softmax(kind: str) -> Translator:
    def build(a: Arguments, r: list[Value]) -> list[Node]:
        axis = -1 if a["axis"] is None else int(a["axis"])
        return _one(kind, [a["logits"]], r, axis=axis % len(r[0].shape))

    return build


def _leaky(a: Arguments, r: list[Value]) -> list[Node]:
    return _one("unary", [a["features"]], r, function="leaky_relu", slope=float(np.asarray(a["alpha"])))


def _pool(function: str, size: str = "ksize", data: str = "input") -> Translator:
    def build(a: Arguments, r: list[Value]) -> list[Node]:
        return _one(
            "pool",
            [a[data]],
            r,
            function=function,
            size=_spatial(a[size]),
            strides=_spatial(a["strides"]),
            padding=_padding(a["padding"]),
        )

    return build


def _resize(method: str) -> Translator:
    def build(a: Arguments, r: list[Value]) -> list[Node]:
        return _one(
            "resize",
            [a["images"]],
            r,
            method=method,
            size=_ints(a["size"]),
            half_pixel_centers=bool(a.get("half_pixel_centers")),
            align_corners=bool(a.get("align_corners")),
        )

    return build


def _cast(a: Arguments, r: list[Value]) -> list[Node]:
    return _one("cast", [a["x"]], r, dtype=r[0].dtype)


def _clip(a: Arguments, r: list[Value]) -> list[Node]:
    low, high = float(np.asarray(a["clip_value_min"])), float(np.asarray(a["clip_value_max"]))
    return _one("unary", [a["t"]], r, function="clip", low=low, high=high)


def _compare(function: str) -> Translator:
    return lambda a, r: _one("compare", [a["x"], a["y"]], r, function=function)


_ELEMENTWISE = ("tanh", "sigmoid", "exp", "log", "sqrt", "rsqrt", "abs", "negative", "square", "sin", "cos", "sign")
_ELEMENTWISE_MORE = ("erf", "floor", "ceil", "round", "reciprocal", "logical_not")

TRANSLATORS: dict[str, Translator] = {
    **{f"math.{name}": _unary(name) for name in _ELEMENTWISE + _ELEMENTWISE_MORE},
    **{f"__operators__.{name}": _unary(full) for name, full in {"neg": "negative", "abs": "abs"}.items()},
    "math.softplus": _unary("softplus", "features"),
    "nn.relu": _unary("relu", "features"),
    "nn.relu6": _unary("relu6", "features"),
    "nn.elu": _unary("elu", "features"),
    "nn.selu": _unary("selu", "features"),
    "nn.softsign": _unary("softsign", "features"),
    "nn.silu": _unary("silu", "features"),
    "nn.gelu": lambda a, r: _one("unary", [a["features"]], r, function="gelu", approximate=bool(a["approximate"])),
    "nn.leaky_relu": _leaky,
    "clip_by_value": _clip,
    "math.add": _binary("add"),
    "math.subtract": _binary("subtract"),
    "math.multiply": _binary("multiply"),
    "math.divide": _binary("divide"),
    "math.maximum": _binary("maximum"),
    "math.minimum": _binary("minimum"),
    "math.pow": _binary("pow"),
    "math.floordiv": _binary("floordiv"),
    "math.floormod": _binary("floormod"),
    "math.squared_difference": _binary("squared_difference"),
    "math.logical_and": _binary("logical_and"),
    "math.logical_or": _binary("logical_or"),
    "__operators__.add": _binary("add"),
    "__operators__.sub": _binary("subtract"),
    "__operators__.mul": _binary("multiply"),
    "__operators__.truediv": _binary("divide"),
    **{
        f"math.{name}": _compare(name)
        for name in ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
    },
    **{f"math.reduce_{name}": _reduce(name) for name in ("mean", "sum", "max", "min", "prod")},
    "identity": _reshape("input"),
    "stop_gradient": _reshape("input"),
    "reshape": _reshape("tensor"),
    "expand_dims": _reshape("input"),
    "compat.v1.expand_dims": _reshape("input"),
    "squeeze": _reshape("input"),
    "compat.v1.squeeze": _reshape("input"),
    "transpose": _transpose,
    "compat.v1.transpose": _transpose,
    "nn.convolution": _convolution,
    "nn.conv2d": _convolution,
    "compat.v1.nn.conv2d": _convolution,
    "compat.v1.nn.depthwise_conv2d": _depthwise,
    "nn.depthwise_conv2d": _depthwise,
    "nn.conv2d_transpose": _conv_transpose,
    "space_to_batch_nd": lambda a, r: _one(
        "space_to_batch", [a["input"]], r, block=_ints(a["block_shape"]), paddings=np.asarray(a["paddings"])
    ),
    "compat.v1.batch_to_space_nd": lambda a, r: _one(
        "batch_to_space", [a["input"]], r, block=_ints(a["block_shape"]), crops=np.asarray(a["crops"])
    ),
    "compat.v1.pad": _pad,
    "pad": _pad,
    "__operators__.getitem": _getitem,
    "strided_slice": _strided_slice,
    "slice": _slice,
    "reverse": _reverse,
    "split": _split,
    "linalg.matmul": _matmul,
    "gather": _gather,
    "compat.v1.gather": _gather,
    "concat": _concat,
    "nn.softmax": _softmax("softmax"),
    "nn.log_softmax": _softmax("log_softmax"),
    "nn.max_pool2d": _pool("max"),
    "nn.max_pool": _pool("max"),
    "compat.v1.nn.max_pool": _pool("max", data="value"),
    "nn.avg_pool": _pool("average"),
    "nn.avg_pool2d": _pool("average"),
    "compat.v1.nn.avg_pool": _pool("average", data="value"),
    "compat.v1.image.resize_nearest_neighbor": _resize("nearest"),
    "compat.v1.image.resize_bilinear": _resize("bilinear"),
    "cast": _cast,
    "where": lambda a, r: _one("where", [a["condition"], a["x"], a["y"]], r),
    "tile": lambda a, r: _one("tile", [a["input"]], r, repeats=_ints(a["multiples"])),
    "broadcast_to": lambda a, r: _one(
        "tile",
        [a["input"]],
        r,
        repeats=tuple(
            size // have
            for size, have in zip(
                r[0].shape, (1,) * (len(r[0].shape) - len(a["input"].shape)) + a["input"].shape, strict=True
            )
        ),
    ),
}
