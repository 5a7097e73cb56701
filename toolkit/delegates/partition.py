"""Splits a graph between a delegate and the CPU exactly as TFLite does.

TFLite walks the execution plan in epochs. The first operator whose inputs are ready decides whether an epoch belongs to
the delegate or to the CPU; every ready operator of the same kind joins it until none is left, then the next one starts.
Source: ``tflite/graph_info.cc`` and ``tflite/delegates/utils.cc`` of LiteRT.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from converters.tflite_graph.read import TfliteGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An operator reduced to what decides its place: tensor numbers in and out (absent inputs left out)."""

    index: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """Operators that run together on one side, in execution order."""

    delegated: bool
    nodes: tuple[int, ...]


def nodes_of(graph: TfliteGraph, remap: Mapping[int, int] | None = None) -> tuple[Node, ...]:
    """The graph's operators as nodes; ``remap`` replaces input tensors of every operator."""
    remap = remap or {}
    return tuple(
        Node(index=op.index, inputs=tuple(remap.get(i, i) for i in op.inputs if i >= 0), outputs=op.outputs)
        for op in graph.ops
    )


def epochs(nodes: Sequence[Node], supported: Collection[int]) -> tuple[Epoch, ...]:
    """Greedy alternating node sets over the execution plan.

    Args:
        nodes: operators in execution order.
        supported: indices of the operators the delegate accepts.
    """
    waiting = {tensor for node in nodes for tensor in node.outputs}
    left = list(nodes)
    result: list[Epoch] = []
    wanted = set(supported)
    while left:
        side: bool | None = None
        members: list[int] = []
        progress = True
        while progress:
            progress = False
            rest = []
            for node in left:
                ready = waiting.isdisjoint(node.inputs)
                if ready and side is None:
                    side = node.index in wanted
                if ready and (node.index in wanted) is side:
                    members.append(node.index)
                    waiting.difference_update(node.outputs)
                    progress = True
                else:
                    rest.append(node)
            left = rest
        if side is None:
            break  # a cycle: a file TFLite itself would refuse
        result.append(Epoch(delegated=side, nodes=tuple(members)))
    return tuple(result)


def largest(parts: Sequence[Epoch], limit: int | None) -> tuple[Epoch, ...]:
    """The delegated epochs a delegate keeps: the ``limit`` largest, earlier ones first among equals."""
    candidates = [part for part in parts if part.delegated]
    ranked = sorted(candidates, key=lambda part: -len(part.nodes))
    return tuple(ranked if limit is None else ranked[:limit])


def partition(
    graph: TfliteGraph, supported: Collection[int], limit: int | None, constants: Mapping[int, tuple[int, int]]
) -> tuple[Epoch, ...]:
    """Final split of a graph, float16 constants included.

    Args:
        graph: the graph.
        supported: accepted operators, without the DEQUANTIZE nodes of float16 constants.
        limit: how many partitions the delegate keeps; None keeps all.
        constants: DEQUANTIZE nodes of float16 constants, output tensor to (constant tensor, operator).

    Returns:
        The epochs as they run: a partition that was not kept belongs to the CPU.
    """
    folded = {op for _, op in constants.values()}
    if constants and len(supported) + len(folded) == len(graph.ops):
        # Everything is accepted: the delegate takes the DEQUANTIZE nodes too and reads the float16 constants itself.
        return epochs(nodes_of(graph), [*supported, *folded])
    kept = {index for part in largest(epochs(nodes_of(graph), supported), limit) for index in part.nodes}
    # Delegated operators read the float16 constant itself, so the DEQUANTIZE no longer stands between them.
    remap = {output: constant for output, (constant, _) in constants.items()}
    plain, remapped = nodes_of(graph), nodes_of(graph, remap)
    mixed = [remapped[node.index] if node.index in kept else node for node in plain]
    final = largest(epochs(mixed, kept), limit)
    return epochs(mixed, {index for part in final for index in part.nodes})


def transitions(graph: TfliteGraph, parts: Sequence[Epoch]) -> tuple[int, int]:
    """Crossings between the delegate and the CPU: how many tensors, and how many bytes they hold."""
    side = {index: part.delegated for part in parts for index in part.nodes}
    producer = {tensor: op.index for op in graph.ops for tensor in op.outputs}
    crossing = {
        tensor
        for op in graph.ops
        for tensor in op.inputs
        if tensor in producer and side[producer[tensor]] != side[op.index]
    }
    return len(crossing), sum(tensor_bytes(graph, tensor) for tensor in crossing)


_WIDTH_BYTES = {
    "FLOAT32": 4,
    "INT32": 4,
    "UINT32": 4,
    "FLOAT16": 2,
    "INT16": 2,
    "INT8": 1,
    "UINT8": 1,
    "BOOL": 1,
    "INT64": 8,
    "FLOAT64": 8,
}


def tensor_bytes(graph: TfliteGraph, tensor: int) -> int:
    """Size of a tensor in memory."""
    found = graph.tensors[tensor]
    count = 1
    for size in found.shape:
        count *= size
    return count * _WIDTH_BYTES.get(found.dtype, 4)
