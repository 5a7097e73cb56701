"""Graph patterns onnx2tf 1.29 is known to translate into something else without a word."""

from __future__ import annotations

from typing import Any

from converters.errors import UnsupportedOp
from converters.onnx_graph.elementwise import ELEMENTWISE
from converters.onnx_graph.flips import slice_indices
from converters.onnx_graph.graph import Graph, Node

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})


def assert_no_known_traps(model: Any) -> None:
    """Refuses a graph that would be mistranslated.

    Two patterns: a Slice with a negative step (taken for the identity when it keeps the shape), and a Reshape that
    cuts or merges the channels of a convolution's output (applied to the channels-last array as if it were still
    channels-first: attention heads made from 1x1 convolutions).

    Raises:
        UnsupportedOp: ``where`` names the operator.
    """
    graph = Graph.from_model(model)
    for node in graph.nodes:
        if node.op == "Slice":
            slices = slice_indices(graph, node)
            if slices is not None and any(len(i) > 1 and i[1] < i[0] for _, i in slices):
                raise UnsupportedOp(
                    "a Slice with a negative step (torch.flip) would be dropped silently",
                    code="convert/trap-flip",
                    where=node.name,
                    hint="run the flips pass, which turns it into a Gather",
                )
        elif node.op == "Reshape" and "/DepthToTime/" not in node.name and _cuts_channels(graph, node):
            raise UnsupportedOp(
                f"a Reshape from {graph.shapes[node.inputs[0]]} to {graph.shapes[node.output]} re-arranges the "
                "channels of a convolution's output and would be applied to the wrong axes",
                code="convert/trap-channel-reshape",
                where=node.name,
                hint="run the linear_attention pass, or use nn.Linear on [batch, time, channels] for projections",
            )


def _cuts_channels(graph: Graph, node: Node) -> bool:
    before, after = graph.shapes[node.inputs[0]], graph.shapes[node.output]
    if len(before) < 3 or before[1] == 1:
        return False
    if [s for s in before if s != 1] == [s for s in after if s != 1] or len(after) <= 2:
        return False
    if len(after) > 1 and after[1] == before[1]:
        return False
    return _is_channels_first(graph, node.inputs[0])


def _is_channels_first(graph: Graph, value: str) -> bool:
    """Whether elementwise operators and unit-axis changes lead back to a convolution."""
    seen, stack = set(), [value]
    while stack:
        producer = graph.producer(stack.pop())
        if producer is None or producer.name in seen:
            continue
        seen.add(producer.name)
        if producer.op in _CONVOLUTIONS:
            return True
        if producer.op in ELEMENTWISE or producer.op in ("Squeeze", "Unsqueeze"):
            stack.extend(producer.inputs)
    return False
