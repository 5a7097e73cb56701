"""`torch.flip` as Gather: onnx2tf takes a Slice with step -1 for the identity and drops it without a word.

Slice(x, start=-1, end=min, axis=1, step=-1)      =>      Gather(x, [C-1, ..., 1, 0], axis=1)
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip

NAME = "flips"


def slice_indices(graph: Graph, node: Node) -> list[tuple[int, np.ndarray]] | None:
    """The kept indices of each sliced axis of a Slice, or None when its bounds are not constant."""
    arrays = [graph.constant(name) if name else None for name in node.inputs[1:]]
    if any(array is None for array, name in zip(arrays, node.inputs[1:], strict=True) if name):
        return None
    starts, ends = (np.atleast_1d(a).tolist() for a in arrays[:2])
    axes = np.atleast_1d(arrays[2]).tolist() if len(arrays) > 2 and arrays[2] is not None else range(len(starts))
    steps = np.atleast_1d(arrays[3]).tolist() if len(arrays) > 3 and arrays[3] is not None else [1] * len(starts)
    shape = graph.shapes[node.inputs[0]]
    result = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = shape[axis % len(shape)]
        # ONNX bounds are Python's, except that "before the first element" is written as a very negative number.
        stop = None if step < 0 and end < -size else end
        result.append((axis % len(shape), np.arange(size)[slice(start, stop, step)]))
    return result


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Replaces every Slice that has a negative step."""
    del options
    changed, skipped = 0, []
    for node in list(graph.nodes):
        if node.op != "Slice":
            continue
        slices = slice_indices(graph, node)
        if slices is None:
            skipped.append(Skip(node=node.name, reason="its bounds are computed at run time"))
            continue
        if all(len(i) < 2 or i[1] > i[0] for _, i in slices):
            continue
        value = node.inputs[0]
        shape = list(graph.shapes[value])
        for axis, indices in slices:
            shape[axis] = len(indices)
            value = graph.add(
                "Gather",
                [value, graph.add_constant(f"{node.name}_indices", indices.astype(np.int64))],
                name=f"{node.name.rpartition('/')[0]}/Flip",
                shape=shape,
                before=node,
                attributes={"axis": axis},
                metadata=node.metadata,
            )
        graph.replace(node.output, value)
        changed += 1
    graph.tidy()
    return PassResult(name=NAME, changed=changed, skipped=tuple(skipped))
