"""Attention on 1x1 Conv1d projections becomes attention on linear layers over [batch, time, channels].

Conv1d(1x1)(x) [N,C,T] -> Reshape [N,h,d,T] -> Transpose [N,h,T,d]
    =>   Transpose(x) [N,T,C] -> MatMul, Add -> Reshape [N,T,h,d] -> Transpose [N,h,T,d]

A Reshape that cuts the channels of a convolution's output is applied by onnx2tf to the channels-last array as if it
were channels-first: 2 dB on a real text encoder. Here every such Reshape works on the last axis, where both layouts
agree, and the projections are matrix products (FULLY_CONNECTED).
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.decompose import Emitter
from converters.onnx_graph.fold_constants import merge_duplicates
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions
from converters.onnx_graph.transposes import fuse

NAME = "linear_attention"
_SWAP = [0, 2, 1]


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Turns channel reshapes around, then the 1x1 convolutions between transposes into matrix products."""
    del options
    changed = sum(_turn_reshape(graph, node) for node in list(graph.nodes) if node.op == "Reshape")
    if changed:
        fuse(graph)
        changed += sum(_to_linear(graph, node) for node in list(graph.nodes) if node.op == "Conv")
        fuse(graph)
        merge_duplicates(graph)
    graph.tidy()
    return PassResult(name=NAME, changed=changed)


def _turn_reshape(graph: Graph, node: Node) -> bool:
    before, after = graph.shapes[node.inputs[0]], graph.shapes[node.output]
    emit = Emitter(graph, node)
    if len(before) == 3 and len(after) == 4 and _splits(before, after):
        producer = graph.producer(node.inputs[0])
        if producer is None or producer.op not in ("Conv", "ConvTranspose"):
            return False
        batch, channels, time = before
        value = emit("Transpose", node.inputs[0], shape=(batch, time, channels), perm=_SWAP)
        value = _reshape(emit, value, (batch, time, after[1], after[2]))
        emit.finish(emit("Transpose", value, shape=after, perm=[0, 2, 3, 1]))
        return True
    if len(before) == 4 and len(after) == 3 and _splits(after, before):
        if not any(c.op in ("Conv", "ConvTranspose") for c in graph.consumers(node.output)):
            return False
        batch, heads, depth, time = before
        value = emit("Transpose", node.inputs[0], shape=(batch, time, heads, depth), perm=[0, 3, 1, 2])
        value = _reshape(emit, value, (batch, time, heads * depth))
        emit.finish(emit("Transpose", value, shape=after, perm=_SWAP))
        return True
    return False


def _splits(joined: tuple[int, ...], split: tuple[int, ...]) -> bool:
    return joined[0] == split[0] and joined[2] == split[3] and joined[1] == split[1] * split[2] and joined[2] > 1


def _reshape(emit: Emitter, value: str, shape: tuple[int, ...]) -> str:
    constant = emit.graph.add_constant(f"{emit.path}/shape", np.asarray(shape, np.int64))
    return emit("Reshape", value, constant, shape=shape)


def _is_swap(node: Node | None) -> bool:
    return node is not None and node.op == "Transpose" and list(node.attributes["perm"]) == _SWAP


def _to_linear(graph: Graph, node: Node) -> bool:
    """A 1x1 convolution that is transposed before or after anyway."""
    weight = graph.constant(node.inputs[1])
    attributes = node.attributes
    if weight is None or weight.ndim != 3 or weight.shape[2] != 1 or int(attributes.get("group", 1)) != 1:
        return False
    if any(attributes.get("pads", [0])) or any(s != 1 for s in attributes.get("strides", [1])):
        return False
    source = graph.producer(node.inputs[0])
    readers = graph.consumers(node.output)
    turned_after = bool(readers) and all(_is_swap(r) for r in readers) and node.output not in graph.outputs
    turned_before = _is_swap(source) and graph.only_consumer(node.inputs[0]) is node
    if not (turned_after or turned_before):
        return False
    emit = Emitter(graph, node)
    batch, channels, time = graph.shapes[node.inputs[0]]
    value = (
        source.inputs[0]
        if source is not None and _is_swap(source)
        else emit("Transpose", node.inputs[0], shape=(batch, time, channels), perm=_SWAP)
    )
    outputs = weight.shape[0]
    matrix = graph.add_constant(f"{node.inputs[1]}.T", np.ascontiguousarray(weight[:, :, 0].T))
    value = emit("MatMul", value, matrix, shape=(batch, time, outputs))
    if len(node.inputs) > 2 and node.inputs[2]:
        value = emit("Add", value, node.inputs[2])
    emit.finish(emit("Transpose", value, shape=(batch, outputs, time), perm=_SWAP))
    return True
