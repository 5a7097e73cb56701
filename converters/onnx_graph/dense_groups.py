"""Grouped convolutions as dense ones, for GPUs that compute small groups wrong.

LiteRT's GPU accelerator gives silently wrong results, or ends the process, unless the input and the output channels of
each group divide by 4 (executed; see ``tests/toolkit/delegates/gpu_sweep``).

    Conv(x, w [O, I/g, K], group=g)   =>   Conv(x, W [O, I, K], group=1), W zero outside each group's block

The zeros add nothing, so the numbers stay; the multiply-adds grow by the number of groups, which the facts say.
Depthwise convolutions (one channel a group) have an operator of their own that is right, and stay.
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip

NAME = "dense_groups"
_SLICE = 4


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Rewrites what the asked accelerator would compute wrong; nothing for the others."""
    changed, added = 0, 0.0
    skipped: list[Skip] = []
    for node in graph.nodes if options.accelerator == "gpu" else ():
        groups = int(node.attributes.get("group", 1))
        if node.op != "Conv" or groups == 1:
            continue
        weights = graph.constants.get(node.inputs[1])
        if weights is None:
            skipped.append(Skip(node=node.name, reason="its weights are computed"))
            continue
        if weights.shape[1] == 1 or not any(size % _SLICE for size in (weights.shape[1], weights.shape[0] // groups)):
            continue
        dense = _dense(weights, groups)
        node.inputs[1] = graph.add_constant(f"{node.inputs[1]}_dense", dense)
        node.attributes["group"] = 1
        added += _multiply_adds(graph, node, dense) - _multiply_adds(graph, node, weights)
        changed += 1
    graph.touch()
    return PassResult(name=NAME, changed=changed, skipped=tuple(skipped), facts={"multiply_adds_added": added})


def _dense(weights: np.ndarray, groups: int) -> np.ndarray:
    outputs, inputs = weights.shape[0] // groups, weights.shape[1]
    dense = np.zeros((weights.shape[0], inputs * groups, *weights.shape[2:]), weights.dtype)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs : (group + 1) * inputs] = weights[rows]
    return dense


def _multiply_adds(graph: Graph, node: Node, weights: np.ndarray) -> float:
    positions = np.prod(graph.shapes[node.output][2:])
    return float(positions) * weights.size
