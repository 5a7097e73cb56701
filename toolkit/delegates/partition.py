"""Splits a graph between a delegate and the CPU exactly as TFLite does.

TFLite walks the execution plan in epochs. The first operator whose inputs are ready decides whether an epoch belongs to
the delegate or to the CPU; every ready operator of the same kind joins it until none is left, then the next one starts.
Operators with side effects keep their order among themselves: each waits for the one before it.
Source: ``tflite/graph_info.cc`` (58-337), ``tflite/core/subgraph.cc`` (1203-1216) and ``tflite/delegates/utils.cc``
(104-143, 201-234) of LiteRT at the commit the tables name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from converters.errors import InputError
from converters.tflite_graph.read import TfliteGraph, TfliteOp

_CONTROL_FLOW = ("IF", "WHILE", "CALL_ONCE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An operator reduced to what decides its place.

    Attributes:
        index: its position in the execution plan.
        inputs: tensors it reads, absent ones left out.
        outputs: tensors it writes.
        side_effect: it touches a resource or holds other graphs, so it keeps its order among its like.
    """

    index: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    side_effect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Which delegated node sets a delegate keeps.

    Attributes:
        most: how many, the largest first; None for all.
        fewest_nodes: smaller sets are left on the CPU.
        counts_after_folding: whether sets are chosen after float16 constants are read directly (NNAPI,
            ``nnapi_delegate.cc:6796-6823, 7065``) or before (the others).
        source: ``file:line@commit`` of the choice.
    """

    most: int | None = None
    fewest_nodes: int = 1
    counts_after_folding: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """Operators that run together on one side, in execution order."""

    delegated: bool
    nodes: tuple[int, ...]


def nodes_of(graph: TfliteGraph, remap: Mapping[int, int] | None = None) -> tuple[Node, ...]:
    """The graph's operators as nodes; ``remap`` replaces input tensors of every operator."""
    remap = remap or {}
    return tuple(
        Node(
            index=op.index,
            inputs=tuple(remap.get(i, i) for i in op.inputs if i >= 0),
            outputs=op.outputs,
            side_effect=_has_side_effect(graph, op),
        )
        for op in graph.ops
    )


def _has_side_effect(graph: TfliteGraph, op: TfliteOp) -> bool:
    touched = (graph.tensors[i].dtype for i in (*op.inputs, *op.outputs) if i >= 0)
    return op.kind in _CONTROL_FLOW or "RESOURCE" in touched


def epochs(
    nodes: Sequence[Node], supported: Collection[int], edges: Sequence[tuple[int, int]] | None = None
) -> tuple[Epoch, ...]:
    """Greedy alternating node sets over the execution plan.

    Args:
        nodes: operators in execution order.
        supported: indices of the operators the delegate accepts.
        edges: pairs of operators (before, after) that a file states; when it states none, operators with side effects
            follow one another.

    Raises:
        InputError: operators wait for each other in a circle.
    """
    waiting = {tensor for node in nodes for tensor in node.outputs}
    after: dict[int, set[int]] = {}
    for before, later in _order_of_side_effects(nodes) if edges is None else edges:
        after.setdefault(later, set()).add(before)
    left = list(nodes)
    placed: set[int] = set()
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
                ready = waiting.isdisjoint(node.inputs) and placed.issuperset(after.get(node.index, ()))
                if ready and side is None:
                    side = node.index in wanted
                if ready and (node.index in wanted) is side:
                    members.append(node.index)
                    placed.add(node.index)
                    waiting.difference_update(node.outputs)
                    progress = True
                else:
                    rest.append(node)
            left = rest
        if side is None:
            stuck = ", ".join(str(node.index) for node in left[:5])
            raise InputError(
                f"the TFLite file is damaged (operators {stuck} wait for each other in a circle)",
                hint="write or fetch it again",
            )
        result.append(Epoch(delegated=side, nodes=tuple(members)))
    return tuple(result)


def _order_of_side_effects(nodes: Sequence[Node]) -> list[tuple[int, int]]:
    """Each operator with side effects, and the next one."""
    return list(pairwise(node.index for node in nodes if node.side_effect))


def largest(parts: Sequence[Epoch], keeping: Keeping) -> tuple[Epoch, ...]:
    """The delegated epochs a delegate keeps, largest first, earlier ones first among equals.

    TFLite sorts with ``std::sort``, which keeps the order of equals for the up to 16 sets met in practice and promises
    nothing beyond.
    """
    candidates = [part for part in parts if part.delegated and len(part.nodes) >= keeping.fewest_nodes]
    ranked = sorted(candidates, key=lambda part: -len(part.nodes))
    return tuple(ranked if keeping.most is None else ranked[: keeping.most])


def partition(
    graph: TfliteGraph, supported: Collection[int], keeping: Keeping, constants: Mapping[int, tuple[int, int]]
) -> tuple[Epoch, ...]:
    """Final split of a graph, float16 constants included.

    Args:
        graph: the graph.
        supported: accepted operators, without the DEQUANTIZE nodes of float16 constants.
        keeping: which node sets the delegate keeps.
        constants: DEQUANTIZE nodes of float16 constants, output tensor to (constant tensor, operator).

    Returns:
        The epochs as they run: a partition that was not kept belongs to the CPU.

    Raises:
        InputError: operators wait for each other in a circle.
    """
    folded = {op for _, op in constants.values()}
    edges = graph.control_edges
    plain = nodes_of(graph)
    if len(supported) + len(folded) == len(graph.ops):
        # Everything is accepted: the delegate takes all, however little it is, DEQUANTIZE nodes included.
        return epochs(plain, [*supported, *folded], edges)
    first = Keeping() if keeping.counts_after_folding else keeping
    kept = {index for part in largest(epochs(plain, supported, edges), first) for index in part.nodes}
    # Delegated operators read the float16 constant itself, so the DEQUANTIZE no longer stands between them.
    remapped = nodes_of(graph, {output: constant for output, (constant, _) in constants.items()})
    mixed = [remapped[node.index] if node.index in kept else node for node in plain]
    if keeping.counts_after_folding:
        kept = {index for part in largest(epochs(mixed, kept, edges), keeping) for index in part.nodes}
    return epochs(mixed, kept, edges)


def runs(graph: TfliteGraph, supported: Collection[int]) -> tuple[Epoch, ...]:
    """Split by LiteRT's compilers for NPUs: what follows one another in the file, whatever could be computed earlier.

    Source: ``litert/compiler/plugin/algo.cc`` (400-458), its default strategy, for plugins that give all operators one
    partition, as Qualcomm's does.

    Args:
        graph: the graph.
        supported: accepted operators.
    """
    parts: list[Epoch] = []
    for op in graph.ops:
        if parts and (op.index in supported) is parts[-1].delegated:
            parts[-1] = Epoch(delegated=parts[-1].delegated, nodes=(*parts[-1].nodes, op.index))
        else:
            parts.append(Epoch(delegated=op.index in supported, nodes=(op.index,)))
    return tuple(parts)


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
