"""Data movement cancels exactly where it is neutral, and nowhere else."""

from __future__ import annotations

import numpy as np

from converters.keras_graph import movement
from converters.keras_graph.ir import Graph, Node, Value


class _Builder:
    def __init__(self, *shape: int) -> None:
        self.first = Value(shape, "float32")
        self.last = self.first
        self.nodes: list[Node] = []

    def add(self, kind: str, to: tuple[int, ...], **attributes: object) -> _Builder:
        value = Value(to, "float32")
        self.nodes.append(Node(kind, [self.last], [value], dict(attributes), source=f"n{len(self.nodes)}"))
        self.last = value
        return self

    def permute(self, *permutation: int) -> _Builder:
        return self.add("permute", tuple(self.last.shape[a] for a in permutation), permutation=permutation)

    def reshape(self, *shape: int) -> _Builder:
        return self.add("reshape", shape, shape=shape)

    def graph(self) -> Graph:
        return Graph(inputs={"x": self.first}, outputs={"y": self.last}, nodes=self.nodes)


def _kinds(graph: Graph) -> list[str]:
    return [node.kind for node in graph.nodes]


def test_permutation_and_its_inverse_vanish() -> None:
    graph = _Builder(1, 2, 3, 4).permute(0, 3, 1, 2).permute(0, 2, 3, 1).graph()
    assert movement.collapse_chains(graph)
    assert _kinds(graph) == []
    assert graph.outputs["y"] is graph.inputs["x"]


def test_two_permutations_that_do_not_cancel_become_one() -> None:
    graph = _Builder(1, 2, 3, 4).permute(0, 3, 1, 2).permute(0, 3, 1, 2).graph()
    movement.collapse_chains(graph)
    assert _kinds(graph) == ["permute"]
    assert graph.nodes[0].attributes["permutation"] == (0, 2, 3, 1)


def test_phases_in_channels_become_one_reshape() -> None:
    stride, channels, time = 3, 2, 5
    chain = _Builder(1, 1, time, stride * channels).permute(0, 3, 1, 2).reshape(1, stride, channels, time)
    graph = chain.permute(0, 2, 3, 1).reshape(1, channels, 1, time * stride).permute(0, 2, 3, 1).graph()
    movement.collapse_chains(graph)
    movement.find_depth_to_time(graph)
    assert _kinds(graph) == ["depth_to_time"]
    assert graph.nodes[0].attributes["stride"] == stride


def test_a_chain_is_named_after_the_last_operator_of_the_model() -> None:
    """What only changes the layout of an output has no rule of its own."""
    graph = (
        _Builder(1, 1, 5, 6).permute(0, 3, 1, 2).reshape(1, 3, 2, 5).permute(0, 2, 3, 1).reshape(1, 2, 1, 15).graph()
    )
    graph.nodes[-1].source = "dec.post/DepthToTime/Reshape_out"
    last = Value((1, 1, 15, 2), "float32")
    moved = Node("permute", [graph.outputs["y"]], [last], {"permutation": (0, 2, 3, 1)}, source="audio/layout")
    graph.nodes.append(moved)
    graph.outputs["y"] = last
    movement.collapse_chains(graph)
    assert [(node.kind, node.source) for node in graph.nodes] == [("reshape", "dec.post/DepthToTime/Reshape_out")]


def test_wrong_phase_order_stays_movement() -> None:
    stride, channels, time = 3, 2, 5
    chain = _Builder(1, 1, time, stride * channels).permute(0, 3, 1, 2).reshape(1, channels, stride, time)
    graph = chain.permute(0, 1, 3, 2).reshape(1, channels, 1, time * stride).permute(0, 2, 3, 1).graph()
    movement.collapse_chains(graph)
    assert "permute" in _kinds(graph)


def test_permutation_sinks_behind_a_slice_and_cancels() -> None:
    builder = _Builder(1, 1, 6, 4).permute(0, 3, 1, 2)
    builder.add("slice", (1, 2, 1, 6), begin=(0, 1, 0, 0), end=(1, 3, 1, 6), strides=(1, 1, 1, 1))
    graph = builder.permute(0, 2, 3, 1).graph()
    assert movement.sink_permutes(graph)
    movement.collapse_chains(graph)
    assert _kinds(graph) == ["slice"]
    assert graph.nodes[0].attributes["begin"] == (0, 0, 0, 1)
    assert graph.nodes[0].attributes["end"] == (1, 1, 6, 3)


def test_constant_operand_follows_the_sunk_permutation() -> None:
    builder = _Builder(1, 1, 6, 4).permute(0, 3, 1, 2)
    constant = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)
    value = Value((1, 4, 1, 6), "float32")
    builder.nodes.append(Node("binary", [builder.last, constant], [value], {"function": "multiply"}))
    builder.last = value
    graph = builder.permute(0, 2, 3, 1).graph()
    movement.sink_permutes(graph)
    movement.collapse_chains(graph)
    assert _kinds(graph) == ["binary"]
    assert graph.nodes[0].inputs[1].shape == (1, 1, 1, 4)


def test_permutation_read_by_others_too_stays() -> None:
    builder = _Builder(1, 2, 6, 4).permute(0, 3, 1, 2)
    shared = builder.last
    builder.add("unary", shared.shape, function="tanh")
    graph = builder.graph()
    other = Value((1, 4, 2, 2), "float32")
    graph.nodes.append(Node("matmul", [shared, shared], [other], {"transpose_a": False, "transpose_b": True}))
    graph.outputs["z"] = other
    assert not movement.sink_permutes(graph)
