"""Normalisations as means, products and one square root, on the axes they really normalise.

Transpose(x) -> LayerNormalization -> Transpose      =>   the same over axis 1 of x, without the transposes
LayerNormalization(x)                                =>   d = x - mean(x);  d / sqrt(mean(d*d) + eps) * gamma + beta
Reshape -> InstanceNormalization -> Reshape (groups) =>   group means by a 1x1 convolution with an averaging matrix
BatchNormalization(Conv(x))                          =>   Conv(x) with scaled weights
BatchNormalization(x)                                =>   x * scale + shift

TensorFlow Lite has none of these as one operator. A group norm written with reshapes would cut the channels of a
channels-last array in the wrong place; the averaging matrix keeps every tensor in its layout.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.onnx_graph.decompose import Emitter
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip

NAME = "normalisation"
_AXES_ARE_INPUT_SINCE = 18


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Rewrites every normalisation with constant parameters."""
    del options
    changed, skipped = 0, []
    for node in list(graph.nodes):
        if node.op not in _REWRITES:
            continue
        if any(name and graph.constant(name) is None for name in node.inputs[1:]):
            skipped.append(Skip(node=node.name, reason="its scale or shift is computed at run time"))
        elif _REWRITES[node.op](graph, node):
            changed += 1
    graph.tidy()
    return PassResult(name=NAME, changed=changed, skipped=tuple(skipped))


def mean(emit: Emitter, value: str, axes: Sequence[int]) -> str:
    """ReduceMean keeping the axes, in the form of the graph's opset."""
    graph = emit.graph
    shape = tuple(1 if i in axes else s for i, s in enumerate(graph.shapes[value]))
    if graph.opset >= _AXES_ARE_INPUT_SINCE:
        constant = graph.add_constant(f"{emit.path}/axes", np.asarray(axes, np.int64))
        return emit("ReduceMean", value, constant, shape=shape, keepdims=1)
    return emit("ReduceMean", value, shape=shape, axes=list(axes), keepdims=1)


def _standardised(emit: Emitter, value: str, axes: Sequence[int], epsilon: float) -> str:
    centred = emit("Sub", value, mean(emit, value, axes))
    variance = mean(emit, emit("Mul", centred, centred), axes)
    return emit("Div", centred, emit("Sqrt", emit("Add", variance, emit.constant(epsilon, "epsilon"))))


def _affine(emit: Emitter, value: str, scale: np.ndarray, shift: np.ndarray | None, names: Sequence[str]) -> str:
    graph = emit.graph
    if not (scale == 1.0).all():
        value = emit("Mul", value, graph.add_constant(names[0], scale))
    if shift is not None and shift.any():
        value = emit("Add", value, graph.add_constant(names[1], shift))
    return value


def _layer_norm(graph: Graph, node: Node) -> bool:
    emit = Emitter(graph, node)
    value, rank = node.inputs[0], graph.rank(node.inputs[0])
    first = int(node.attributes.get("axis", -1)) % rank
    scale = graph.constants[node.inputs[1]]
    shift = graph.constants[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else None
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    names = (node.inputs[1], node.inputs[2] if shift is not None else "")
    turn = graph.producer(value)
    readers = graph.consumers(node.output)
    swap = [0, rank - 1, *range(1, rank - 1)]
    if (
        turn is not None
        and turn.op == "Transpose"
        and rank == 3
        and first == rank - 1
        and node.output not in graph.outputs
        and list(turn.attributes["perm"]) == [0, 2, 1]
        and readers
        and all(r.op == "Transpose" and list(r.attributes["perm"]) == swap for r in readers)
    ):
        result = _standardised(emit, turn.inputs[0], (1,), epsilon)
        columns = None if shift is None else shift.reshape(-1, 1)
        result = _affine(emit, result, scale.reshape(-1, 1), columns, names)
        for reader in readers:
            graph.replace(reader.output, result)
            graph.remove(reader)
        graph.remove(node)
        return True
    result = _standardised(emit, value, tuple(range(first, rank)), epsilon)
    emit.finish(_affine(emit, result, scale, shift, names))
    return True


def _instance_norm(graph: Graph, node: Node) -> bool:
    emit = Emitter(graph, node)
    value, rank = node.inputs[0], graph.rank(node.inputs[0])
    scale, shift = (graph.constants[name] for name in node.inputs[1:3])
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    cut = graph.producer(value)
    join = graph.only_consumer(node.output)
    if cut is not None and cut.op == "Reshape" and join is not None and join.op == "Reshape":
        source = cut.inputs[0]
        if graph.shapes[source] == graph.shapes[join.output] and (scale == 1.0).all() and not shift.any():
            return _group_norm(graph, node, source, join, graph.shapes[value][1], epsilon)
    ones = (1,) * (rank - 2)
    result = _standardised(emit, value, tuple(range(2, rank)), epsilon)
    result = _affine(emit, result, scale.reshape(-1, *ones), shift.reshape(-1, *ones), node.inputs[1:3])
    emit.finish(result)
    return True


def _group_norm(graph: Graph, node: Node, source: str, join: Node, groups: int, epsilon: float) -> bool:
    emit = Emitter(graph, node)
    shape = graph.shapes[source]
    channels, spatial = shape[1], tuple(range(2, len(shape)))
    if not spatial or channels % groups:
        return False
    group = np.arange(channels) // (channels // groups)
    matrix = (group[:, None] == group[None, :]).astype(np.float32) / (channels // groups)
    weight = emit.graph.add_constant(
        f"{emit.path}/group_average", matrix.reshape(channels, channels, *(1 for _ in spatial))
    )
    bias = emit.constant(np.zeros(channels), "group_bias")
    ones = [1] * len(spatial)

    def group_mean(value: str) -> str:
        means = mean(emit, value, spatial)
        return emit(
            "Conv",
            means,
            weight,
            bias,
            shape=graph.shapes[means],
            kernel_shape=ones,
            strides=ones,
            dilations=ones,
            pads=[0] * (2 * len(spatial)),
            group=1,
        )

    centred = emit("Sub", source, group_mean(source))
    variance = group_mean(emit("Mul", centred, centred))
    result = emit("Div", centred, emit("Sqrt", emit("Add", variance, emit.constant(epsilon, "epsilon"))))
    graph.replace(join.output, result)
    graph.remove(join)
    graph.remove(node)
    return True


def _batch_norm(graph: Graph, node: Node) -> bool:
    if node.attributes.get("training_mode", 0) or len(node.inputs) < 5:
        return False
    gamma, beta, average, variance = (graph.constants[name].astype(np.float64) for name in node.inputs[1:5])
    scale = gamma / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))
    shift = beta - average * scale
    conv = graph.producer(node.inputs[0])
    if conv is not None and conv.op == "Conv" and graph.only_consumer(conv.output) is node:
        weight = graph.constant(conv.inputs[1])
        bias = graph.constant(conv.inputs[2]) if len(conv.inputs) > 2 and conv.inputs[2] else np.zeros(len(scale))
        if weight is not None and bias is not None:
            spread = scale.reshape(-1, *(1 for _ in weight.shape[1:]))
            stem = conv.inputs[1].removesuffix("weight")
            bias_name = conv.inputs[2] if len(conv.inputs) > 2 and conv.inputs[2] else f"{stem}bias"
            conv.inputs[1] = graph.add_constant(conv.inputs[1], (weight * spread).astype(np.float32))
            conv.inputs[2:] = [graph.add_constant(bias_name, (bias * scale + shift).astype(np.float32))]
            conv.metadata = dict(node.metadata)
            graph.replace(node.output, conv.output)
            graph.tidy()
            return True
    emit = Emitter(graph, node)
    ones = (1,) * (graph.rank(node.inputs[0]) - 2)
    factor, offset = (a.astype(np.float32).reshape(-1, *ones) for a in (scale, shift))
    emit.finish(_affine(emit, node.inputs[0], factor, offset, node.inputs[1:3]))
    return True


_REWRITES = {
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "BatchNormalization": _batch_norm,
}
