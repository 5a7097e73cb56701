"""Lookups by a row of indices, for GPUs that take indices of rank 1 only.

Gather(table, ids [1, T])   =>   Reshape(Gather(table, Reshape(ids, [T])), [1, T, D])
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "row_gathers"


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Rewrites every lookup of a stored table by computed indices of a higher rank, when the accelerator is a GPU."""
    changed = 0
    for node in list(graph.nodes) if options.accelerator == "gpu" else ():
        if node.op != "Gather" or node.inputs[0] not in graph.constants or int(node.attributes.get("axis", 0)) != 0:
            continue
        table, indices = graph.shapes.get(node.inputs[0]), graph.shapes.get(node.inputs[1])
        if table is None or indices is None or node.inputs[1] in graph.constants or len(indices) < 2:
            continue
        count = int(np.prod(indices))
        row = _reshape(graph, node, node.inputs[1], (count,), "row")
        found = graph.add(
            "Gather",
            [node.inputs[0], row],
            name=f"{node.name}_rows",
            shape=(count, *table[1:]),
            before=node,
            attributes={"axis": 0},
            metadata=node.metadata,
        )
        graph.replace(node.output, _reshape(graph, node, found, (*indices, *table[1:]), "shape"))
        changed += 1
    graph.tidy()
    return PassResult(name=NAME, changed=changed)


def _reshape(graph: Graph, node: Node, value: str, shape: tuple[int, ...], what: str) -> str:
    target = graph.add_constant(f"{node.name}/{what}", np.asarray(shape, np.int64))
    return graph.add(
        "Reshape", [value, target], name=f"{node.name}_{what}/Reshape", shape=shape, before=node, metadata=node.metadata
    )
