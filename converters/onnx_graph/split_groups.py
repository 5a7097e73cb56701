"""Grouped convolutions as one convolution a group, for NNAPI, which takes none.

TFLite writes them as version 6 of CONV_2D; NNAPI's delegate takes versions up to 5 (nnapi_delegate.cc:2491), and a
graph falls apart around each.

    Conv(x, w [O, I/g, K], group=g)   =>   Concat(Conv(x's channels of group i, w's rows of group i) for every i)

The same multiply-adds and the same sums in the same order. Depthwise convolutions (one channel a group) have an
operator of their own that NNAPI takes, and stay.
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip
from converters.onnx_graph.slices import add_slice

NAME = "split_groups"
_MOST = 64
"""Groups: a convolution, a slice and a constant for each. Networks with more have them narrow, and are slow so."""


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Rewrites every grouped convolution with constant weights; nothing where another delegate is asked for."""
    changed = 0
    skipped: list[Skip] = []
    for node in list(graph.nodes) if options.accelerator == "nnapi" else ():
        groups = int(node.attributes.get("group", 1))
        if node.op != "Conv" or groups == 1:
            continue
        weights = graph.constants.get(node.inputs[1])
        if weights is not None and weights.shape[1] == 1:
            continue  # depthwise
        reason = _obstacle(graph, node, groups)
        if reason:
            skipped.append(Skip(node=node.name, reason=reason))
            continue
        _split(graph, node, groups)
        changed += 1
    graph.tidy()
    return PassResult(name=NAME, changed=changed, skipped=tuple(skipped))


def _obstacle(graph: Graph, node: Node, groups: int) -> str:
    if any(name and name not in graph.constants for name in node.inputs[1:]):
        return "its weights are computed"
    return f"it has {groups} groups, more than {_MOST}" if groups > _MOST else ""


def _split(graph: Graph, node: Node, groups: int) -> None:
    weights = graph.constants[node.inputs[1]]
    bias = graph.constants.get(node.inputs[2]) if len(node.inputs) > 2 else None
    width, rows = weights.shape[1], weights.shape[0] // groups
    batch, _, *places = graph.shapes[node.inputs[0]]
    results = []
    for group in range(groups):
        own = slice(group * rows, (group + 1) * rows)
        part = add_slice(
            graph, node.inputs[0], (group * width, (group + 1) * width, 1, 1), name=f"{node.name}/Slice",
            shape=(batch, width, *places), before=node, metadata=node.metadata,
        )  # fmt: skip
        inputs = [part, graph.add_constant(f"{node.inputs[1]}_{group}", np.ascontiguousarray(weights[own]))]
        if bias is not None:
            inputs.append(graph.add_constant(f"{node.inputs[2]}_{group}", bias[own]))
        made = (batch, rows, *graph.shapes[node.output][2:])
        own_attributes = {**node.attributes, "group": 1}
        results.append(
            graph.add("Conv", inputs, name=f"{node.name}_{group}", shape=made, before=node,
                      attributes=own_attributes, metadata=node.metadata)
        )  # fmt: skip
    joined = graph.add(
        "Concat", results, name=f"{node.name}/Concat", shape=graph.shapes[node.output], before=node,
        attributes={"axis": 1}, metadata=node.metadata,
    )  # fmt: skip
    graph.replace(node.output, joined)
