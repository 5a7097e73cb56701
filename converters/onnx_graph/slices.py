"""Slice nodes, whose bounds are constants of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.onnx_graph.graph import Graph, Node


def add_slice(
    graph: Graph,
    value: str,
    bounds: tuple[int, int, int, int],
    *,
    name: str,
    shape: Sequence[int],
    before: Node,
    metadata: dict[str, str] | None = None,
) -> str:
    """Adds a Slice of one axis and returns its value name.

    Args:
        graph: gets it.
        value: what is sliced.
        bounds: start, end, axis and step.
        name: of the node.
        shape: of the result.
        before: node to insert in front of, which also gives the constants their names.
        metadata: of the node.
    """
    constants = [
        graph.add_constant(f"{before.name}_{label}", np.asarray([bound], np.int64))
        for label, bound in zip(("start", "end", "axis", "step"), bounds, strict=True)
    ]
    return graph.add("Slice", [value, *constants], name=name, shape=shape, before=before, metadata=metadata)
