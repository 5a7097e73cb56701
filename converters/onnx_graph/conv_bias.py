"""Every convolution gets a bias: NNAPI's CONV_2D and TRANSPOSE_CONV have no form without one."""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.graph import Graph
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "conv_bias"


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Adds a zero bias where there is none."""
    del options
    changed = 0
    for node in graph.nodes:
        if node.op not in ("Conv", "ConvTranspose") or (len(node.inputs) > 2 and node.inputs[2]):
            continue
        channels = graph.shapes[node.output][1]
        stem = node.inputs[1].removesuffix("weight") if node.inputs[1].endswith("weight") else f"{node.name}_"
        node.inputs[2:] = [graph.add_constant(f"{stem}bias", np.zeros(channels, np.float32))]
        changed += 1
    graph.touch()
    return PassResult(name=NAME, changed=changed)
