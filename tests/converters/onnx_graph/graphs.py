"""Builds small graphs for tests of single passes and runs them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import OnnxPass, RewriteOptions
from converters.onnx_graph.run import onnx_runner
from converters.spec import Interface, PartSpec


def make_graph(inputs: dict[str, tuple[int, ...]], nodes: list[tuple], outputs: list[str], **constants) -> Graph:
    """A graph from ``(op, inputs, outputs, attributes)`` tuples; constants by keyword."""
    graph = Graph()
    graph.inputs, graph.outputs = list(inputs), outputs
    for name, shape in inputs.items():
        graph.shapes[name], graph.dtypes[name] = shape, np.dtype(np.float32)
    graph.constants = {name: np.asarray(value) for name, value in constants.items()}
    for index, (op, sources, results, attributes) in enumerate(nodes):
        name = f"layer{index}/{op}"
        graph.nodes.append(Node(op, sources.split(), results.split(), attributes, name, {"origin": name}))
    graph.infer()
    return graph


def run(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    """Outputs for random inputs."""
    rng = np.random.default_rng(seed)
    arrays = {n: rng.standard_normal(graph.shapes[n]).astype(np.float32) for n in graph.inputs}
    # Lifted inputs hold the same numbers with a unit axis more.
    spec = PartSpec(name="graph", inputs=(), outputs=())
    found = onnx_runner(graph.to_model(), Interface(spec=spec))(arrays)
    return [found[name] for name in graph.outputs]


def apply(step: OnnxPass | object, graph: Graph, **options):
    """Applies a pass module and checks that the numbers stay."""
    before = run(graph)
    result = step.apply(graph, RewriteOptions(**options))
    for old, new in zip(before, run(graph), strict=True):
        np.testing.assert_allclose(new.reshape(old.shape), old, rtol=1e-5, atol=1e-5)
    return result


def ops(graph: Graph) -> Counter[str]:
    """How often each operator occurs."""
    return Counter(node.op for node in graph.nodes)


def weights(*shape: int, seed: int = 1) -> np.ndarray:
    """Seeded normal float32 values."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
