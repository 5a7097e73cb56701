"""Indices as int32: TensorFlow Lite's delegates know no int64.

Cast(x, int64) -> Gather(table, .)   =>   Gather(table, Cast(x, int32)), or x itself when it is int32
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.fold_constants import remove_no_ops
from converters.onnx_graph.graph import Graph
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "int32_indices"
_INT32, _INT64 = 6, 7
_TAKES_INT32 = frozenset({"Gather", "GatherND", "GatherElements", "Cast"})


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Narrows casts whose readers accept int32."""
    del options
    changed = 0
    for node in graph.nodes:
        if node.op != "Cast" or int(node.attributes["to"]) != _INT64 or node.output in graph.outputs:
            continue
        if all(reader.op in _TAKES_INT32 for reader in graph.consumers(node.output)):
            node.attributes["to"] = _INT32
            graph.dtypes[node.output] = np.dtype(np.int32)
            changed += 1
    if changed:
        remove_no_ops(graph)
    return PassResult(name=NAME, changed=changed)
