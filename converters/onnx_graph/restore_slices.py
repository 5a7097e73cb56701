"""Gathers of contiguous channels become Split (when they share a tensor out completely) or Slice again.

Gather(x, [0..95]), Gather(x, [96..191])   =>      Split(x, [96, 96])
Gather(x, [4..7])                          =>      Slice(x, 4:8)
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.channel_gathers import constant_gather, gather_axis
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions
from converters.onnx_graph.slices import add_slice

NAME = "restore_slices"


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Rewrites every Gather whose indices are evenly spaced and ascending."""
    del options
    changed = 0
    groups: dict[tuple[str, int], list[tuple[Node, np.ndarray]]] = {}
    for node in graph.nodes:
        indices = constant_gather(graph, node)
        if indices is not None and len(indices) and (len(indices) == 1 or _step_of(indices) > 0):
            groups.setdefault((node.inputs[0], gather_axis(graph, node)), []).append((node, indices))
    for (source, axis), members in groups.items():
        members.sort(key=lambda member: int(member[1][0]))
        size = graph.shapes[source][axis]
        joined = np.concatenate([indices for _, indices in members])
        if len(members) > 1 and len(joined) == size and (joined == np.arange(size)).all():
            _split(graph, source, axis, members)
        else:
            for node, indices in members:
                _slice(graph, node, indices, axis)
        changed += len(members)
    graph.tidy()
    return PassResult(name=NAME, changed=changed)


def _step_of(indices: np.ndarray) -> int:
    """Common difference of the indices, 0 when there is none."""
    steps = np.unique(np.diff(indices))
    return int(steps[0]) if len(steps) == 1 else 0


def _split(graph: Graph, source: str, axis: int, members: list[tuple[Node, np.ndarray]]) -> None:
    first = min((node for node, _ in members), key=graph.nodes.index)
    sizes = np.asarray([len(indices) for _, indices in members], np.int64)
    name = graph.new_name(f"{first.name.rpartition('/')[0]}/Split")
    outputs = [f"{name}_output_{index}" for index in range(len(members))]
    node = Node("Split", [source, graph.add_constant(f"{name}_sizes", sizes)], outputs, {"axis": axis}, name)
    graph.nodes.insert(graph.nodes.index(first), node)
    graph.touch()
    for output, (member, _) in zip(outputs, members, strict=True):
        graph.shapes[output], graph.dtypes[output] = graph.shapes[member.output], graph.dtypes[member.output]
        graph.replace(member.output, output)
        graph.remove(member)


def _slice(graph: Graph, node: Node, indices: np.ndarray, axis: int) -> None:
    step = _step_of(indices) if len(indices) > 1 else 1
    bounds = (int(indices[0]), int(indices[-1]) + 1, axis, step)
    name = f"{node.name.rpartition('/')[0]}/Slice"
    value = add_slice(graph, node.inputs[0], bounds, name=name, shape=graph.shapes[node.output], before=node)
    graph.replace(node.output, value)
    graph.remove(node)
