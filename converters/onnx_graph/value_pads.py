"""Padding with another value than zero as a concatenation, for GPUs that fold a pad into the next convolution.

LiteRT's GPU accelerator merges PADV2 into the convolution that reads it and pads with zeros then (executed, 12.5 dB).

    Pad(x, [.., a, .., b], c)   =>   Concat(constant [.., a, ..] of c, x, constant [.., b, ..] of c)
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip

NAME = "value_pads"


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Rewrites every pad with a value along one axis, when the accelerator is a GPU."""
    changed = 0
    skipped: list[Skip] = []
    for node in list(graph.nodes) if options.accelerator == "gpu" else ():
        value = _value(graph, node)
        if not value:
            continue
        pads, shape = graph.constant(node.inputs[1]), graph.shapes[node.inputs[0]]
        if pads is None or pads.size != 2 * len(shape) or np.any(pads < 0):
            skipped.append(Skip(node=node.name, reason="its amounts are computed, negative or of chosen axes"))
            continue
        before, after = pads[: len(shape)], pads[len(shape) :]
        axes = [axis for axis in range(len(shape)) if before[axis] or after[axis]]
        if len(axes) != 1:
            skipped.append(Skip(node=node.name, reason="several axes are padded"))
            continue
        joined = [
            *_block(graph, node, shape, axes[0], int(before[axes[0]]), value),
            node.inputs[0],
            *_block(graph, node, shape, axes[0], int(after[axes[0]]), value),
        ]
        made = graph.add(
            "Concat",
            joined,
            name=f"{node.name}_joined",
            shape=graph.shapes[node.output],
            before=node,
            attributes={"axis": axes[0]},
            metadata=node.metadata,
            dtype=np.float32,
        )
        graph.replace(node.output, made)
        changed += 1
    graph.tidy()
    return PassResult(name=NAME, changed=changed, skipped=tuple(skipped))


def _value(graph: Graph, node: Node) -> float:
    """The value a constant pad fills with; 0 for anything else."""
    mode = node.attributes.get("mode", b"constant")
    mode = mode.decode() if isinstance(mode, bytes) else mode
    if node.op != "Pad" or mode != "constant" or len(node.inputs) < 3 or not node.inputs[2]:
        return 0.0
    if len(node.inputs) > 3 and node.inputs[3]:
        return 0.0
    found = graph.constant(node.inputs[2])
    return float(found.ravel()[0]) if found is not None and found.size == 1 else 0.0


def _block(graph: Graph, node: Node, shape: tuple[int, ...], axis: int, size: int, value: float) -> list[str]:
    if not size:
        return []
    wanted = (*shape[:axis], size, *shape[axis + 1 :])
    return [graph.add_constant(f"{node.name}/edge", np.full(wanted, value, np.float32))]
