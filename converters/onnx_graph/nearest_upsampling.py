"""`repeat_interleave` along time as a nearest Resize: one operator instead of reshape, tile and reshape.

Unsqueeze(x, -1) -> Tile [1,1,1,r] -> Reshape [N,C,T*r]   =>   Resize(x, scales [1,1,r], nearest)
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "nearest_upsampling"


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Rewrites every such chain on rank-3 tensors."""
    del options
    changed = 0
    for node in list(graph.nodes):
        if node.op != "Reshape":
            continue
        source = _repeated(graph, node)
        if source is None:
            continue
        shape, before = graph.shapes[node.output], graph.shapes[source]
        path = node.name.rpartition("/")[0]
        scales = graph.add_constant(f"{path}/scales", np.asarray([1.0, 1.0, shape[2] / before[2]], np.float32))
        value = graph.add(
            "Resize",
            [source, "", scales],
            name=f"{path}/Resize",
            shape=shape,
            before=node,
            attributes={"coordinate_transformation_mode": "asymmetric", "mode": "nearest", "nearest_mode": "floor"},
            metadata=node.metadata,
        )
        graph.replace(node.output, value)
        changed += 1
    graph.tidy()
    return PassResult(name=NAME, changed=changed)


def _repeated(graph: Graph, reshape: Node) -> str | None:
    """The tensor whose last axis is repeated element by element, if that is what the Reshape ends."""
    tile = graph.producer(reshape.inputs[0])
    if tile is None or tile.op not in ("Tile", "Expand"):
        return None
    widen = graph.producer(tile.inputs[0])
    if widen is None or widen.op not in ("Unsqueeze", "Reshape"):
        return None
    source, wide, result = widen.inputs[0], graph.shapes[tile.output], graph.shapes[reshape.output]
    if graph.rank(source) != 3 or len(wide) != 4 or len(result) != 3:
        return None
    before = graph.shapes[source]
    if graph.shapes[tile.inputs[0]] != (*before, 1) or wide[:3] != before:
        return None
    return source if result == (*before[:2], before[2] * wide[3]) else None
