"""Builds one Keras layer for each operator of the graph.

Layers of Keras itself wherever they exist, since TF-MOT recognises those by class; weights are set to the constants
onnx2tf had inlined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tf_keras  # noqa: TID253 (imported only where models are built)

from converters.errors import UnsupportedOp
from converters.keras_graph import layers
from converters.keras_graph.ir import Node, Value

Emitter = Callable[[Node, list[Any], str], Any]

_MERGES = {
    "add": tf_keras.layers.Add,
    "subtract": tf_keras.layers.Subtract,
    "multiply": tf_keras.layers.Multiply,
    "maximum": tf_keras.layers.Maximum,
    "minimum": tf_keras.layers.Minimum,
}
_ACTIVATIONS = frozenset({"tanh", "sigmoid", "elu", "selu", "softplus", "softsign"})


def emit(node: Node, tensors: list[Any], name: str) -> list[Any]:
    """Calls a new layer named ``name`` on ``tensors`` (the node's non-constant inputs).

    Raises:
        UnsupportedOp: no layer exists for the operator.
    """
    emitter = EMITTERS.get(node.kind)
    if emitter is None:
        raise UnsupportedOp(
            f"no Keras layer for the operator {node.kind!r}",
            where=node.source,
            hint="replace this torch layer by one built from convolutions, linear layers and element-wise functions",
        )
    result = emitter(node, tensors, name)
    return list(result) if isinstance(result, (list, tuple)) else [result]


def _bias(node: Node, channels: int) -> np.ndarray:
    bias = node.attributes["bias"]
    return np.zeros(channels, np.float32) if bias is None else np.asarray(bias, np.float32)


def _same_or_valid(node: Node, data: Any, name: str) -> tuple[Any, str]:
    """Padding as Keras knows it; anything else becomes zeros put around the data first."""
    padding = node.attributes["padding"]
    if isinstance(padding, str):
        return data, padding.lower()
    pairs = [list(pair) for pair in padding[1:3]]
    return tf_keras.layers.ZeroPadding2D(pairs, name=f"{name}/pad")(data), "valid"


def _conv2d(node: Node, tensors: list[Any], name: str) -> Any:
    kernel = np.asarray(node.attributes["kernel"], np.float32)
    data, padding = _same_or_valid(node, tensors[0], name)
    layer = tf_keras.layers.Conv2D(
        filters=kernel.shape[3],
        kernel_size=kernel.shape[:2],
        strides=node.attributes["strides"],
        padding=padding,
        dilation_rate=node.attributes["dilations"],
        groups=node.attributes["groups"],
        kernel_initializer="zeros",
        weights=[kernel, _bias(node, kernel.shape[3])],
        name=name,
    )
    return layer(data)


def _depthwise(node: Node, tensors: list[Any], name: str) -> Any:
    kernel = np.asarray(node.attributes["kernel"], np.float32)
    data, padding = _same_or_valid(node, tensors[0], name)
    layer = tf_keras.layers.DepthwiseConv2D(
        kernel_size=kernel.shape[:2],
        strides=node.attributes["strides"],
        padding=padding,
        depth_multiplier=kernel.shape[3],
        dilation_rate=node.attributes["dilations"],
        depthwise_initializer="zeros",
        weights=[kernel, _bias(node, kernel.shape[2] * kernel.shape[3])],
        name=name,
    )
    return layer(data)


def _conv2d_transpose(node: Node, tensors: list[Any], name: str) -> Any:
    kernel = np.asarray(node.attributes["kernel"], np.float32)
    layer = tf_keras.layers.Conv2DTranspose(
        filters=kernel.shape[2],
        kernel_size=kernel.shape[:2],
        strides=node.attributes["strides"],
        padding=node.attributes["padding"].lower(),
        output_padding=_output_padding(node, kernel),
        kernel_initializer="zeros",
        weights=[kernel, _bias(node, kernel.shape[2])],
        name=name,
    )
    result = layer(tensors[0])
    if tuple(result.shape) != node.output.shape:
        raise UnsupportedOp(
            f"a transposed convolution whose output is {node.output.shape}, not {tuple(result.shape)}",
            where=node.source,
            hint="let the ONNX rewrite turn it into a convolution by phases",
        )
    return result


def _output_padding(node: Node, kernel: np.ndarray) -> tuple[int, int] | None:
    """What the output is longer than the kernel reaches, per axis; ``None`` when Keras' own length is right."""
    if node.attributes["padding"] != "VALID":
        return None
    before, after = node.data_inputs()[0].shape, node.output.shape
    strides = node.attributes["strides"]
    extra = [after[a] - ((before[a] - 1) * strides[a - 1] + kernel.shape[a - 1]) for a in (1, 2)]
    return (extra[0], extra[1]) if max(extra) > 0 else None


def _dense(node: Node, tensors: list[Any], name: str) -> Any:
    kernel = np.asarray(node.attributes["kernel"], np.float32)
    weights = [kernel, _bias(node, kernel.shape[1])]
    return tf_keras.layers.Dense(kernel.shape[1], kernel_initializer="zeros", weights=weights, name=name)(tensors[0])


def _matmul(node: Node, tensors: list[Any], name: str) -> Any:
    options = {"transpose_a": node.attributes["transpose_a"], "transpose_b": node.attributes["transpose_b"]}
    return layers.MatMul(**options, name=name)(_with_constants(node, tensors, name))


def _with_constants(node: Node, tensors: list[Any], name: str) -> list[Any]:
    """All operands as tensors, constants through a layer that holds them."""
    remaining = iter(tensors)
    operands = []
    for index, item in enumerate(node.inputs):
        if isinstance(item, Value):
            operands.append(next(remaining))
        else:
            dtype = np.asarray(item).dtype.name
            layer = layers.Constant(item.shape, dtype=dtype, name=f"{name}/constant_{index}")
            operands.append(layer(tensors[0]))
            layer.set_weights([item])
    return operands


def _binary(node: Node, tensors: list[Any], name: str) -> Any:
    function = node.attributes["function"]
    if len(tensors) == 1:
        first = not isinstance(node.inputs[0], Value)
        constant = np.asarray(node.inputs[0 if first else 1])
        if function == "divide" and not first and constant.dtype == np.float32:
            exact = np.float32(1) / constant
            if np.all(np.float32(1) / exact == constant) and np.all(np.frexp(constant)[0] == 0.5):
                function, constant = "multiply", exact  # dividing by a power of two: the same bits, and int8 has no DIV
        layer = layers.ConstantMath(
            function,
            constant.shape,
            first,
            dtype=constant.dtype.name,
            name=name,
        )
        result = layer(tensors[0])
        layer.set_weights([constant])
        return result
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if function in _MERGES and len({len(s) for s in shapes}) == 1 and len({s[0] for s in shapes}) == 1:
        return _MERGES[function](name=name)(tensors)
    return layers.BinaryMath(function, name=name)(tensors)


def _unary(node: Node, tensors: list[Any], name: str) -> Any:
    function, attributes = node.attributes["function"], node.attributes
    if function == "relu":
        layer = tf_keras.layers.ReLU(name=name)
    elif function == "relu6":
        layer = tf_keras.layers.ReLU(max_value=6.0, name=name)
    elif function == "leaky_relu":
        layer = tf_keras.layers.LeakyReLU(alpha=attributes["slope"], name=name)
    elif function in _ACTIVATIONS:
        layer = tf_keras.layers.Activation(function, name=name)
    elif function == "clip":
        layer = layers.UnaryMath(function, attributes["low"], attributes["high"], name=name)
    else:
        layer = layers.UnaryMath(function, name=name)
    return layer(tensors[0])


def _slice(node: Node, tensors: list[Any], name: str) -> Any:
    shape = node.data_inputs()[0].shape
    ends: list[int | None] = []
    for begin, end, stride, size in zip(
        node.attributes["begin"], node.attributes["end"], node.attributes["strides"], shape, strict=True
    ):
        whole = (stride > 0 and end >= size) or (stride < 0 and end < 0)
        ends.append(None if whole else end if begin >= 0 else None)
    return layers.StridedSlice(node.attributes["begin"], ends, node.attributes["strides"], name=name)(tensors[0])


def _pad(node: Node, tensors: list[Any], name: str) -> Any:
    paddings, mode, value = (node.attributes[key] for key in ("paddings", "mode", "value"))
    inner_only = len(paddings) == 4 and paddings[0] == (0, 0) and paddings[3] == (0, 0)
    if mode == "CONSTANT" and value == 0 and inner_only:
        return tf_keras.layers.ZeroPadding2D([list(pair) for pair in paddings[1:3]], name=name)(tensors[0])
    return layers.Pad(paddings, mode, value, name=name)(tensors[0])


def _gather(node: Node, tensors: list[Any], name: str) -> Any:
    table, indices = node.inputs
    axis = node.attributes["axis"]
    if isinstance(table, Value) and isinstance(indices, Value):
        return layers.GatherAlong(axis, name=name)(tensors)
    if isinstance(table, Value):
        return layers.Gather(indices, axis, name=name)(tensors[0])
    if axis == 0 and table.ndim == 2:
        size = {"input_dim": table.shape[0], "output_dim": table.shape[1]}
        layer = tf_keras.layers.Embedding(**size, embeddings_initializer="zeros", weights=[table], name=name)
        return layer(tensors[0])
    return layers.GatherAlong(axis, name=name)(_with_constants(node, tensors, name))


def _pool(node: Node, tensors: list[Any], name: str) -> Any:
    attributes = node.attributes
    kinds = {"max": tf_keras.layers.MaxPooling2D, "average": tf_keras.layers.AveragePooling2D}
    data, padding = _same_or_valid(node, tensors[0], name)
    return kinds[attributes["function"]](attributes["size"], attributes["strides"], padding, name=name)(data)


def _resize(node: Node, tensors: list[Any], name: str) -> Any:
    before, after = node.data_inputs()[0].shape[1:3], node.attributes["size"]
    whole = all(new % old == 0 for new, old in zip(after, before, strict=True))
    scale = [new // old for new, old in zip(after, before, strict=True)] if whole else None
    layer = layers.Resize(
        node.attributes["method"],
        scale,
        None if whole else list(after),
        node.attributes["half_pixel_centers"],
        node.attributes["align_corners"],
        name=name,
    )
    return layer(tensors[0])


def _layer_norm(node: Node, tensors: list[Any], name: str) -> Any:
    axes = node.attributes["axes"]
    shape = tuple(node.output.shape[axis] for axis in axes)
    gamma, beta = node.attributes["gamma"], node.attributes["beta"]
    layer = layers.LayerNorm(axes, node.attributes["epsilon"], name=name)
    result = layer(tensors[0])
    layer.set_weights([np.ones(shape) if gamma is None else gamma, np.zeros(shape) if beta is None else beta])
    return result


def _recurrent(node: Node, tensors: list[Any], name: str) -> Any:
    attributes = node.attributes
    weights = [attributes["kernel"], attributes["recurrent_kernel"], attributes["bias"]]
    options: dict[str, Any] = {
        "units": attributes["recurrent_kernel"].shape[0],
        "return_sequences": True,
        "return_state": True,
        "go_backwards": attributes["go_backwards"],
        "kernel_initializer": "zeros",
        "recurrent_initializer": "zeros",
        "name": name,
    }
    if node.kind == "lstm":
        layer = tf_keras.layers.LSTM(**options, unit_forget_bias=False)
    else:
        layer = tf_keras.layers.GRU(**options, reset_after=attributes["reset_after"])
        if not attributes["reset_after"]:
            weights[2] = attributes["bias"].sum(axis=0)
    result = layer(tensors[0])
    layer.set_weights(weights)
    return result


def _permute(node: Node, tensors: list[Any], name: str) -> Any:
    permutation = node.attributes["permutation"]
    if permutation[0] == 0:
        return tf_keras.layers.Permute(permutation[1:], name=name)(tensors[0])
    return layers.Reorder(permutation, name=name)(tensors[0])


def _reshape(node: Node, tensors: list[Any], name: str) -> Any:
    shape = node.output.shape
    if shape[:1] == tuple(tensors[0].shape[:1]):
        return tf_keras.layers.Reshape(shape[1:], name=name)(tensors[0])
    return layers.Reshape(shape, name=name)(tensors[0])


EMITTERS: dict[str, Emitter] = {
    "conv2d": _conv2d,
    "depthwise_conv2d": _depthwise,
    "conv2d_transpose": _conv2d_transpose,
    "dense": _dense,
    "matmul": _matmul,
    "binary": _binary,
    "compare": lambda n, t, name: layers.BinaryMath(n.attributes["function"], name=name)(_with_constants(n, t, name)),
    "unary": _unary,
    "softmax": lambda n, t, name: tf_keras.layers.Softmax(n.attributes["axis"], name=name)(t[0]),
    "log_softmax": lambda n, t, name: layers.LogSoftmax(n.attributes["axis"], name=name)(t[0]),
    "slice": _slice,
    "pad": _pad,
    "concat": lambda n, t, name: tf_keras.layers.Concatenate(n.attributes["axis"], name=name)(
        _with_constants(n, t, name)
    ),
    "split": lambda n, t, name: layers.Split(n.attributes["sizes"], n.attributes["axis"], name=name)(t[0]),
    "reduce": lambda n, t, name: layers.Reduce(
        n.attributes["function"], n.attributes["axes"], n.attributes["keepdims"], name=name
    )(t[0]),
    "gather": _gather,
    "where": lambda n, t, name: layers.Where(name=name)(_with_constants(n, t, name)),
    "cast": lambda n, t, name: layers.Cast(n.attributes["dtype"], name=name)(t[0]),
    "tile": lambda n, t, name: layers.Tile(n.attributes["repeats"], name=name)(t[0]),
    "pool": _pool,
    "resize": _resize,
    "layer_norm": _layer_norm,
    "lstm": _recurrent,
    "gru": _recurrent,
    "permute": _permute,
    "reshape": _reshape,
    "depth_to_time": lambda n, t, name: layers.DepthToTime(n.attributes["stride"], name=name)(t[0]),
}
