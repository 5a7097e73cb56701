"""Slices of a computed tensor become smaller computations: nothing is computed together only to be cut apart.

    Conv(x, W) -> Slice 0:h   -> Tanh                  Conv(x, W[:h]) -> Tanh
               -> Slice h:2h  -> Sigmoid       =>      Conv(x, W[h:]) -> Sigmoid

    Concat(a, b) -> Gather(indices)            =>      Concat(Gather(a), Gather(b)), or just one of them

A producer is taken apart only when all its readers are gathers and no channel is computed twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection

import numpy as np

from converters.onnx_graph.channel_gathers import add_gather, constant_gather, gather_axis
from converters.onnx_graph.elementwise import BINARY, UNARY, aligned_axis, operands, take_constant
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "gather_up"


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Moves gathers towards the inputs until nothing changes."""
    del options
    changed = 0
    while _step(graph):
        changed += 1
    graph.tidy()
    return PassResult(name=NAME, changed=changed)


def settle(graph: Graph, older: list[Node]) -> None:
    """Moves the gathers that are not among ``older`` nodes up into their producers."""
    kept = {id(node) for node in older}
    while _step(graph, kept):
        pass


def _step(graph: Graph, leave: Collection[int] = ()) -> bool:
    for node in graph.nodes:
        indices = constant_gather(graph, node)
        if indices is None or id(node) in leave:
            continue
        producer = graph.producer(node.inputs[0])
        if producer is None:
            continue
        axis = gather_axis(graph, node)
        inner = constant_gather(graph, producer)
        if inner is not None and gather_axis(graph, producer) == axis:
            value = add_gather(graph, producer.inputs[0], inner[indices], axis, name=node.name, before=node)
            graph.replace(node.output, value)
            graph.remove(node)
            return True
        if producer.op == "Concat" and _concat(graph, node, producer, indices, axis):
            return True
        if _take_apart(graph, producer, axis):
            return True
    return False


def _concat(graph: Graph, node: Node, concat: Node, indices: np.ndarray, axis: int) -> bool:
    if int(concat.attributes["axis"]) % graph.rank(concat.output) != axis:
        return False
    sizes = [graph.shapes[name][axis] for name in concat.inputs]
    starts = np.cumsum([0, *sizes])
    owner = np.searchsorted(starts, indices, side="right") - 1
    runs = np.flatnonzero(np.diff(owner)) + 1
    pieces = np.split(indices, runs)
    if len(pieces) > len(concat.inputs):
        return False  # interleaved: one gather is cheaper than many pieces
    values = []
    for piece in pieces:
        source = int(np.searchsorted(starts, piece[0], side="right") - 1)
        values.append(
            add_gather(graph, concat.inputs[source], piece - starts[source], axis, name=node.name, before=node)
        )
    if len(values) == 1:
        value = values[0]
    else:
        shape = list(graph.shapes[node.output])
        value = graph.add(
            "Concat",
            values,
            name=concat.name,
            shape=shape,
            before=node,
            attributes={"axis": axis},
            metadata=node.metadata,
        )
    graph.replace(node.output, value)
    graph.remove(node)
    return True


def _take_apart(graph: Graph, producer: Node, axis: int) -> bool:
    """Replaces a producer all of whose readers gather disjoint channels by one smaller producer for each."""
    if producer.output in graph.outputs or not _divisible(graph, producer, axis):
        return False
    readers = graph.consumers(producer.output)
    taken = []
    for reader in readers:
        indices = constant_gather(graph, reader)
        if indices is None or gather_axis(graph, reader) != axis or reader.inputs[0] != producer.output:
            return False
        taken.append(indices)
    flat = np.concatenate(taken)
    if len(np.unique(flat)) != len(flat):
        return False
    if producer.op in UNARY | BINARY and not _worth_it(graph, producer, axis):
        return False
    for reader, indices in zip(readers, taken, strict=True):
        value = _restricted(graph, producer, indices, axis, reader)
        graph.replace(reader.output, value)
        graph.remove(reader)
    graph.remove(producer)
    return True


def _divisible(graph: Graph, node: Node, axis: int) -> bool:
    rank = graph.rank(node.output)
    if node.op in ("Conv", "ConvTranspose"):
        weight = graph.constant(node.inputs[1])
        return axis == 1 and int(node.attributes.get("group", 1)) == 1 and weight is not None
    if node.op == "MatMul":
        weight = graph.constant(node.inputs[1])
        return axis == rank - 1 and weight is not None and weight.ndim == 2
    if node.op == "Gemm":
        return (
            axis == 1
            and graph.constant(node.inputs[1]) is not None
            and all(graph.constant(n) is not None for n in node.inputs[2:])
        )
    return node.op in UNARY | BINARY


def _worth_it(graph: Graph, node: Node, axis: int) -> bool:
    """Whether a gather moved above an elementwise node ends in a producer that can absorb it."""
    rank = graph.rank(node.output)
    for operand in operands(node):
        own = aligned_axis(graph, operand, axis, rank)
        if own is None or graph.constant(operand) is not None:
            continue
        producer = graph.producer(operand)
        if producer is None or graph.only_consumer(operand) is None:
            return False
        if producer.op in UNARY | BINARY:
            if not _worth_it(graph, producer, own):
                return False
        elif producer.op == "Concat" or constant_gather(graph, producer) is not None:
            continue
        elif not _divisible(graph, producer, own):
            return False
    return True


def _restricted(graph: Graph, node: Node, indices: np.ndarray, axis: int, reader: Node) -> str:
    """The same operator computing only ``indices`` of ``axis``."""
    shape = list(graph.shapes[node.output])
    shape[axis] = len(indices)
    if node.op in UNARY | BINARY:
        inputs = [
            _restrict_operand(graph, operand, indices, aligned_axis(graph, operand, axis, len(shape)), node, reader)
            for operand in operands(node)
        ] + node.inputs[len(operands(node)) :]
    else:
        inputs = list(node.inputs)
        weight_axis = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}.get(node.op)
        if weight_axis is None:
            weight_axis = 0 if node.attributes.get("transB", 0) else 1
        for position, constant_axis in ((1, weight_axis), (2, -1)):
            if position < len(inputs) and inputs[position]:
                inputs[position] = _restrict_constant(graph, inputs[position], indices, constant_axis)
    return graph.add(
        node.op,
        inputs,
        name=node.name,
        shape=shape,
        dtype=graph.dtypes[node.output],
        before=reader,
        attributes=node.attributes,
        metadata=restrict_metadata(node.metadata, indices) if axis == 1 else {},
    )


def _restrict_operand(
    graph: Graph, operand: str, indices: np.ndarray, axis: int | None, node: Node, reader: Node
) -> str:
    if axis is None:
        return operand
    if graph.constant(operand) is not None:
        return _restrict_constant(graph, operand, indices, axis)
    return add_gather(graph, operand, indices, axis, name=f"{node.name.rpartition('/')[0]}/Gather", before=reader)


def _restrict_constant(graph: Graph, name: str, indices: np.ndarray, axis: int) -> str:
    array = graph.constants[name]
    if array.shape[axis] == 1:
        return name
    return graph.add_constant(name, np.ascontiguousarray(take_constant(array, indices, axis)))


def restrict_metadata(metadata: dict[str, str], indices: np.ndarray) -> dict[str, str]:
    """Metadata of a node that computes ``indices`` of the channels it used to."""
    if "origin" not in metadata:
        return {}
    before = np.asarray(json.loads(metadata["channels"])) if "channels" in metadata else None
    channels = indices if before is None else before[indices]
    return {"origin": metadata["origin"], "channels": json.dumps([int(c) for c in channels])}
