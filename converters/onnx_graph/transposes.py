"""Transposes next to one another become one, or none.

Transpose(Transpose(x, p), q)   =>   Transpose(x, p[q])
Transpose(x, identity)          =>   x
"""

from __future__ import annotations

from converters.onnx_graph.fold_constants import merge_duplicates, remove_no_ops
from converters.onnx_graph.graph import Graph
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "transposes"


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Fuses chains and shares equal transposes."""
    del options
    changed = fuse(graph)
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
