"""A packed projection taken apart by reshape, transpose and index is a slice of its last axis.

Linear(x) [T,N,3E] -> Reshape [T,N,3,E] -> Unsqueeze -> Transpose [3,T,N,1,E] -> Squeeze -> Gather i
    =>   Slice(Linear(x), i*E : (i+1)*E)             which `gather_up` turns into three smaller projections

`nn.MultiheadAttention` packs queries, keys and values like that; the rank-5 tensors suit no delegate.
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.channel_gathers import add_gather
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "packed_projections"
_MOVING = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"})


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Rewrites every Gather by a scalar index that ends such a chain."""
    del options
    changed = 0
    for node in list(graph.nodes):
        index = graph.constant(node.inputs[1]) if node.op == "Gather" else None
        if index is None or index.ndim or graph.constant(node.inputs[0]) is not None:
            continue
        chain, source = _chain(graph, node)
        if not chain:
            continue
        size = graph.shapes[source]
        positions = np.arange(int(np.prod(size))).reshape(size)
        for member in reversed(chain):
            positions = _moved(graph, member, positions)
        positions = np.take(positions, int(index), axis=int(node.attributes.get("axis", 0)))
        changed += _as_slice(graph, node, source, positions)
    graph.tidy()
    return PassResult(name=NAME, changed=changed)


def _chain(graph: Graph, node: Node) -> tuple[list[Node], str]:
    """Data movement between a Gather and the operator that computes its data, innermost last."""
    chain: list[Node] = []
    value = node.inputs[0]
    while (producer := graph.producer(value)) is not None and producer.op in _MOVING:
        chain.append(producer)
        value = producer.inputs[0]
    return chain, value


def _moved(graph: Graph, node: Node, array: np.ndarray) -> np.ndarray:
    if node.op == "Transpose":
        return array.transpose(node.attributes["perm"])
    return array.reshape(graph.shapes[node.output])


def _as_slice(graph: Graph, node: Node, source: str, positions: np.ndarray) -> bool:
    """Replaces the Gather when ``positions`` is a range of the source's last axis, in order."""
    shape = graph.shapes[source]
    width = positions.size * shape[-1] // int(np.prod(shape))
    start = int(positions.reshape(-1)[0])
    if width < 1 or start + width > shape[-1] or positions.size * shape[-1] % int(np.prod(shape)):
        return False
    whole = np.arange(int(np.prod(shape))).reshape(shape)
    if not np.array_equal(whole[..., start : start + width].reshape(-1), positions.reshape(-1)):
        return False
    axis = len(shape) - 1
    value = add_gather(graph, source, np.arange(start, start + width), axis, name=node.name, before=node)
    target = graph.shapes[node.output]
    if graph.shapes[value] != target:
        path = node.name.rpartition("/")[0]
        constant = graph.add_constant(f"{path}/shape", np.asarray(target, np.int64))
        value = graph.add("Reshape", [value, constant], name=f"{path}/Reshape", shape=target, before=node)
    graph.replace(node.output, value)
    graph.remove(node)
    return True
