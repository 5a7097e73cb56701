"""Channel permutations sink into the weights of the next convolution.

    Gather(x, reversed) -> Conv(W)             =>      Conv(x, W[:, reversed])
    Gather(a, p) - Conv(h, W)                  =>      Gather(a - Conv(h, W[inverse p]), p)

A gather that also selects is cut in two: the selection, sorted, stays where it is; the order moves on. What reaches a
graph output unabsorbed stays a Gather, which is always correct.
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.channel_gathers import add_gather, constant_gather, gather_axis
from converters.onnx_graph.elementwise import BINARY, UNARY, aligned_axis, operands
from converters.onnx_graph.fold_constants import merge_duplicates
from converters.onnx_graph.gather_up import restrict_metadata, settle
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip

NAME = "gather_down"


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Moves permutations towards the outputs until nothing changes."""
    del options
    changed = 0
    while _step(graph):
        changed += 1
    merge_duplicates(graph)
    graph.tidy()
    skipped = []
    for node in graph.nodes:
        order = constant_gather(graph, node)
        if order is not None and not (np.diff(order) > 0).all():
            skipped.append(Skip(node=node.name, reason="no convolution after it can take over the channel order"))
    return PassResult(name=NAME, changed=changed, skipped=tuple(skipped))


def _step(graph: Graph) -> bool:
    for node in graph.nodes:
        order = constant_gather(graph, node)
        if order is None or (np.diff(order) > 0).all() or len(np.unique(order)) != len(order):
            continue
        axis = gather_axis(graph, node)
        if len(order) < graph.shapes[node.inputs[0]][axis]:
            # Only worth cutting in two when the order can move on.
            if any(_can_absorb(graph, reader, node.output, axis) for reader in graph.consumers(node.output)):
                _cut_in_two(graph, node, order, axis)
                return True
            continue
        for reader in graph.consumers(node.output):
            if _absorb(graph, node, reader, order, axis):
                return True
    return False


def _cut_in_two(graph: Graph, node: Node, order: np.ndarray, axis: int) -> None:
    selected = np.sort(order)
    value = add_gather(graph, node.inputs[0], selected, axis, name=node.name, before=node)
    value = add_gather(graph, value, np.searchsorted(selected, order), axis, name=node.name, before=node)
    graph.replace(node.output, value)
    graph.remove(node)


def _takes_channels(graph: Graph, reader: Node, axis: int) -> bool:
    weight = graph.constant(reader.inputs[1]) if len(reader.inputs) > 1 else None
    if weight is None:
        return False
    if reader.op in ("Conv", "ConvTranspose"):
        return axis == 1 and int(reader.attributes.get("group", 1)) == 1
    if reader.op == "MatMul":
        return axis == graph.rank(reader.inputs[0]) - 1 and weight.ndim == 2
    return reader.op == "Gemm" and axis == 1 and not reader.attributes.get("transA", 0)


def _can_absorb(graph: Graph, reader: Node, value: str, axis: int) -> bool:
    if reader.op in UNARY | BINARY:
        return value not in graph.outputs and _others_follow(graph, reader, value, axis)
    return reader.inputs[0] == value and _takes_channels(graph, reader, axis)


def _absorb(graph: Graph, node: Node, reader: Node, order: np.ndarray, axis: int) -> bool:
    """Lets one reader of a permuted value read the value itself."""
    if constant_gather(graph, reader) is not None and gather_axis(graph, reader) == axis:
        composed = add_gather(
            graph, node.inputs[0], order[constant_gather(graph, reader)], axis, name=reader.name, before=reader
        )
        graph.replace(reader.output, composed)
        graph.remove(reader)
        graph.tidy()
        return True
    if reader.op == "Concat" and int(reader.attributes["axis"]) % graph.rank(reader.output) == axis:
        _sink_below_concat(graph, node, reader, order, axis)
        return True
    if not _can_absorb(graph, reader, node.output, axis):
        return False
    inverse = np.argsort(order)
    if reader.op in UNARY | BINARY:
        _sink_below(graph, node, reader, order, inverse, axis)
        graph.tidy()
        return True
    weight = graph.constants[reader.inputs[1]]
    weight_axis = {"Conv": 1, "ConvTranspose": 0, "MatMul": 0}.get(reader.op)
    if weight_axis is None:
        weight_axis = 1 if reader.attributes.get("transB", 0) else 0
    reader.inputs[1] = graph.add_constant(
        reader.inputs[1], np.ascontiguousarray(np.take(weight, inverse, axis=weight_axis))
    )
    reader.inputs[0] = node.inputs[0]
    graph.tidy()
    return True


def _sink_below_concat(graph: Graph, node: Node, concat: Node, order: np.ndarray, axis: int) -> None:
    """Concat(Gather(a, p), b) is Gather(Concat(a, b), p and then b's channels)."""
    orders, start = [], 0
    for position, name in enumerate(concat.inputs):
        size = graph.shapes[name][axis]
        orders.append(start + (order if name == node.output else np.arange(size)))
        start += size
        if name == node.output:
            concat.inputs[position] = node.inputs[0]
    graph.touch()
    following = graph.nodes.index(concat) + 1
    before = graph.nodes[following] if following < len(graph.nodes) else None
    former = f"{concat.output}_unordered"
    graph.shapes[former], graph.dtypes[former] = graph.shapes[concat.output], graph.dtypes[concat.output]
    output, concat.outputs, concat.metadata = concat.output, [former], {}
    graph.touch()
    value = add_gather(graph, former, np.concatenate(orders), axis, name=node.name, before=before)
    gather = graph.producer(value)
    if output in graph.outputs and gather is not None:
        gather.outputs = [output]
        value = output
    for reader in graph.nodes:
        reader.inputs = [value if name == output else name for name in reader.inputs]
    graph.touch()
    graph.tidy()


def _others_follow(graph: Graph, reader: Node, value: str, axis: int) -> bool:
    """Whether every other operand of an elementwise reader can be permuted for free."""
    rank = graph.rank(reader.output)
    if rank != graph.rank(value):
        return False
    return all(
        operand == value or _permutable(graph, operand, aligned_axis(graph, operand, axis, rank), reader)
        for operand in operands(reader)
    )


def _permutable(graph: Graph, value: str, axis: int | None, reader: Node) -> bool:
    if axis is None or graph.constant(value) is not None:
        return True
    producer = graph.producer(value)
    if producer is None:
        return False
    order = constant_gather(graph, producer)
    if order is not None and gather_axis(graph, producer) == axis and not (np.diff(order) > 0).all():
        return True
    if graph.only_consumer(value) is not reader:
        return False
    if producer.op in ("Conv", "ConvTranspose"):
        group = int(producer.attributes.get("group", 1))
        return axis == 1 and group == 1 and graph.constant(producer.inputs[1]) is not None
    if producer.op in UNARY | BINARY:
        rank = graph.rank(producer.output)
        return all(
            _permutable(graph, operand, aligned_axis(graph, operand, axis, rank), producer)
            for operand in operands(producer)
        )
    return False


def _sink_below(graph: Graph, node: Node, reader: Node, order: np.ndarray, inverse: np.ndarray, axis: int) -> None:
    rank = graph.rank(reader.output)
    older = list(graph.nodes)
    inputs = []
    for operand in operands(reader):
        own = aligned_axis(graph, operand, axis, rank)
        if operand == node.output:
            inputs.append(node.inputs[0])
        else:
            inputs.append(_permuted(graph, operand, inverse, own, reader))
    inputs += reader.inputs[len(operands(reader)) :]
    before = graph.nodes.index(reader)
    following = graph.nodes[before + 1] if before + 1 < len(graph.nodes) else None
    sunk = graph.add(
        reader.op,
        inputs,
        name=reader.name,
        shape=graph.shapes[reader.output],
        dtype=graph.dtypes[reader.output],
        before=following,
        attributes=reader.attributes,
        metadata=restrict_metadata(reader.metadata, inverse) if axis == 1 else {},
    )
    value = add_gather(graph, sunk, order, axis, name=node.name, before=following)
    below = graph.producer(value)
    graph.replace(reader.output, value)
    graph.remove(reader)
    graph.tidy()
    # The inverse orders asked of the other operands go into their weights at once; the new gather below stays.
    settle(graph, [*older, *([below] if below is not None else [])])


def _permuted(graph: Graph, value: str, order: np.ndarray, axis: int | None, reader: Node) -> str:
    """``value`` with its channels in ``order``, by permuting constants and weights; `_permutable` said it is free."""
    if axis is None:
        return value
    constant = graph.constant(value)
    if constant is not None:
        return graph.add_constant(value, np.ascontiguousarray(np.take(constant, order, axis=axis)))
    return add_gather(graph, value, order, axis, name=f"{reader.name.rpartition('/')[0]}/Gather", before=reader)
