"""Transposes next to one another become one, or none; so do reshapes.

Transpose(Transpose(x, p), q)   =>   Transpose(x, p[q])
Transpose(x, identity)          =>   x
Reshape(Reshape(x, a), b)       =>   Reshape(x, b)
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.fold_constants import merge_duplicates, remove_no_ops
from converters.onnx_graph.graph import Graph
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "transposes"
_VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten"})


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Fuses chains and shares equal transposes."""
    del options
    changed = fuse(graph) + _fuse_reshapes(graph)
    changed += merge_duplicates(graph)
    graph.tidy()
    return PassResult(name=NAME, changed=changed)


def fuse(graph: Graph) -> int:
    """Fuses every pair of transposes; returns how many were found."""
    count = 0
    found = True
    while found:
        found = False
        for node in graph.nodes:
            inner = graph.producer(node.inputs[0]) if node.op == "Transpose" else None
            if inner is None or inner.op != "Transpose":
                continue
            first, second = inner.attributes["perm"], node.attributes["perm"]
            node.inputs = [inner.inputs[0]]
            node.attributes = {"perm": [first[axis] for axis in second]}
            graph.touch()
            count, found = count + 1, True
    graph.tidy()
    return count + remove_no_ops(graph)


def _fuse_reshapes(graph: Graph) -> int:
    count = 0
    for node in graph.nodes:
        inner = graph.producer(node.inputs[0]) if node.op == "Reshape" else None
        if inner is None or inner.op not in _VIEWS or graph.constant(node.inputs[1]) is None:
            continue
        # The inner shape is gone: sizes written as 0 (copy) or -1 (rest) are spelled out.
        shape = np.asarray(graph.shapes[node.output], np.int64)
        node.inputs = [inner.inputs[0], graph.add_constant(f"{node.name}_shape", shape)]
        graph.touch()
        count += 1
    graph.tidy()
    return count + remove_no_ops(graph)
