"""Slices and splits of one axis as Gather, the one form the channel passes move around.

    Slice(x, 0:96, axis=1)                     =>      Gather(x, [0..95], axis=1)
    Split(x, [96, 96], axis=1)                 =>      Gather(x, [0..95]), Gather(x, [96..191])

What could not be moved into a convolution becomes a Slice or Split again in `restore_slices`.
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.flips import slice_indices
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "channel_gathers"


def gather_axis(graph: Graph, node: Node) -> int:
    """Axis of a Gather, not negative."""
    return int(node.attributes.get("axis", 0)) % graph.rank(node.inputs[0])


def constant_gather(graph: Graph, node: Node | None) -> np.ndarray | None:
    """Indices of a Gather along one axis by a constant 1-D list, not negative; None for any other node."""
    if node is None or node.op != "Gather":
        return None
    indices = graph.constant(node.inputs[1])
    if indices is None or indices.ndim != 1 or graph.constant(node.inputs[0]) is not None:
        return None
    size = graph.shapes[node.inputs[0]][gather_axis(graph, node)]
    return np.where(indices < 0, indices + size, indices)


def add_gather(graph: Graph, value: str, indices: np.ndarray, axis: int, *, name: str, before: Node | None) -> str:
    """Adds a Gather, or nothing when it would keep everything in order."""
    shape = list(graph.shapes[value])
    if len(indices) == shape[axis] and (indices == np.arange(shape[axis])).all():
        return value
    shape[axis] = len(indices)
    constant = graph.add_constant(f"{name}_indices", np.asarray(indices, np.int64))
    return graph.add("Gather", [value, constant], name=name, shape=shape, before=before, attributes={"axis": axis})


def split_sizes(graph: Graph, node: Node) -> list[int]:
    """Sizes of the pieces of a Split."""
    axis = int(node.attributes.get("axis", 0)) % graph.rank(node.inputs[0])
    return [graph.shapes[name][axis] for name in node.outputs]


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Rewrites every Split and every Slice of one axis with a positive step."""
    del options
    changed = 0
    for node in list(graph.nodes):
        pieces: list[tuple[str, np.ndarray]] = []
        if node.op == "Split":
            axis = int(node.attributes.get("axis", 0)) % graph.rank(node.inputs[0])
            start = 0
            for output, size in zip(node.outputs, split_sizes(graph, node), strict=True):
                pieces.append((output, np.arange(start, start + size)))
                start += size
        elif node.op == "Slice":
            slices = slice_indices(graph, node)
            if slices is None or len(slices) != 1:
                continue
            axis, indices = slices[0]
            if len(indices) > 1 and indices[1] < indices[0]:
                continue
            pieces.append((node.output, indices))
        for output, indices in pieces:
            new = add_gather(graph, node.inputs[0], indices, axis, name=node.name, before=node)
            graph.replace(output, new)
        changed += bool(pieces)
    graph.tidy()
    return PassResult(name=NAME, changed=changed)
