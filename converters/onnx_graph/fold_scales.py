"""A positive factor moves into the next convolution: one operator (and one rounding, when quantised) less.

x * c -> LeakyReLU -> * mask -> Conv(W)     =>      x -> LeakyReLU -> * mask -> Conv(c * W)

Exact up to rounding because LeakyReLU and ReLU commute with positive factors. HiFi-GAN's mean over residual blocks
(``xs / num_kernels``) is such a factor.
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip

NAME = "fold_scales"
_HOMOGENEOUS = frozenset({"LeakyRelu", "Relu"})


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Moves every scalar factor that only a convolution waits for."""
    del options
    changed, skipped = 0, []
    for node in list(graph.nodes):
        factor, value = _factor(graph, node)
        if factor is None:
            continue
        chain = _chain(graph, node)
        if chain is None:
            skipped.append(Skip(node=node.name, reason="no convolution follows that could take the factor over"))
            continue
        *between, conv = chain
        weight = graph.constants[conv.inputs[1]]
        conv.inputs[1] = graph.add_constant(conv.inputs[1], (weight * np.float64(factor)).astype(np.float32))
        for member in between:
            member.metadata = {}  # these values are no longer those of the exported graph
        graph.replace(node.output, value)
        changed += 1
    graph.tidy()
    return PassResult(name=NAME, changed=changed, skipped=tuple(skipped))


def _factor(graph: Graph, node: Node) -> tuple[float | None, str]:
    """A positive scalar constant and the value it multiplies."""
    if node.op != "Mul" or node.output in graph.outputs:
        return None, ""
    for position in (0, 1):
        array = graph.constant(node.inputs[position])
        if array is not None and array.size == 1 and float(array.reshape(-1)[0]) > 0.0:
            other = node.inputs[1 - position]
            if graph.shapes[other] == graph.shapes[node.output]:
                return float(array.reshape(-1)[0]), other
    return None, ""


def _chain(graph: Graph, node: Node) -> list[Node] | None:
    """The single readers from ``node`` to the next convolution, all of which commute with a positive factor."""
    chain: list[Node] = []
    while True:
        reader = graph.only_consumer(node.output)
        if reader is None:
            return None
        if reader.op in ("Conv", "ConvTranspose"):
            if reader.inputs[0] != node.output or graph.constant(reader.inputs[1]) is None:
                return None
            return [*chain, reader]
        masked = reader.op == "Mul" and reader.inputs[0] != reader.inputs[1]
        if not (reader.op in _HOMOGENEOUS or masked):
            return None
        chain.append(reader)
        node = reader
