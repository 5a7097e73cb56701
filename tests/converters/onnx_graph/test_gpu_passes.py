"""Rewrites that GPUs alone need: exact, only when asked for, only where the GPU is wrong or refuses."""

from __future__ import annotations

import numpy as np
import pytest

from converters.onnx_graph import dense_groups, row_gathers, value_pads
from tests.converters.onnx_graph.graphs import apply, make_graph, ops, run, weights


def _grouped(inputs: int, outputs: int, groups: int):
    nodes = [("Conv", "x w b", "y", {"group": groups, "pads": [1, 1]})]
    return make_graph({"x": (1, inputs, 10)}, nodes, ["y"], w=weights(outputs, inputs // groups, 3), b=weights(outputs))


@pytest.mark.parametrize("sizes", [(8, 4, 2), (12, 6, 3), (16, 12, 2), (8, 16, 4), (6, 8, 2)], ids=str)
def test_groups_that_a_gpu_computes_wrong_become_one_dense_convolution(sizes):
    graph = _grouped(*sizes)
    result = apply(dense_groups, graph, accelerator="gpu")
    assert result.changed == 1 and result.facts["multiply_adds_added"] > 0
    (node,) = graph.nodes
    assert node.attributes["group"] == 1
    assert graph.constants[node.inputs[1]].shape == (sizes[1], sizes[0], 3)


@pytest.mark.parametrize("sizes", [(8, 8, 2), (16, 24, 2), (8, 8, 8), (8, 16, 8)], ids=str)
def test_groups_of_fours_and_depthwise_convolutions_stay(sizes):
    assert apply(dense_groups, _grouped(*sizes), accelerator="gpu").changed == 0


def test_without_a_gpu_nothing_changes():
    assert apply(dense_groups, _grouped(8, 4, 2)).changed == 0
    assert apply(row_gathers, _lookup()).changed == 0


def test_a_spoiled_block_is_seen():
    graph = _grouped(8, 4, 2)
    before = run(graph)
    dense_groups.apply(graph, type("Gpu", (), {"accelerator": "gpu"})())
    (node,) = graph.nodes
    spoiled = graph.constants[node.inputs[1]].copy()
    spoiled[0, 4] = 1.0  # outside its block
    graph.constants[node.inputs[1]] = spoiled
    assert not np.allclose(run(graph)[0], before[0])


def _lookup():
    nodes = [("Floor", "x", "f", {}), ("Abs", "f", "a", {}), ("Cast", "a", "i", {"to": 6}), ("Gather", "t i", "y", {})]
    return make_graph({"x": (1, 10)}, nodes, ["y"], t=weights(9, 4))


def test_a_lookup_by_a_row_goes_through_rank_one_and_keeps_its_shape():
    graph = _lookup()
    shape = graph.shapes["y"]
    assert apply(row_gathers, graph, accelerator="gpu").changed == 1
    gather = next(node for node in graph.nodes if node.op == "Gather")
    assert len(graph.shapes[gather.inputs[1]]) == 1 and ops(graph)["Reshape"] == 2
    assert graph.shapes[graph.outputs[0]] == shape


def _padded(value: float, pads: list[int]):
    constants = {"p": np.int64(pads), "c": np.float32(value), "w": weights(4, 6, 3), "b": weights(4)}
    nodes = [("Pad", "x p c", "h", {}), ("Conv", "h w b", "y", {})]
    return make_graph({"x": (1, 6, 10)}, nodes, ["y"], **constants)


@pytest.mark.parametrize("pads", [[0, 0, 2, 0, 0, 3], [0, 0, 2, 0, 0, 0], [0, 0, 0, 0, 0, 1]], ids=str)
def test_a_pad_with_a_value_becomes_a_concatenation(pads):
    graph = _padded(0.5, pads)
    assert apply(value_pads, graph, accelerator="gpu").changed == 1
    assert ops(graph) == {"Concat": 1, "Conv": 1}


def test_pads_with_zeros_and_of_several_axes_stay():
    assert apply(value_pads, _padded(0.0, [0, 0, 2, 0, 0, 3]), accelerator="gpu").changed == 0
    nodes = [("Pad", "x p c", "y", {})]
    both = make_graph({"x": (1, 6, 10)}, nodes, ["y"], p=np.int64([0, 1, 2, 0, 0, 3]), c=np.float32(0.5))
    result = apply(value_pads, both, accelerator="gpu")
    assert result.changed == 0 and "several axes" in result.skipped[0].reason
    assert apply(value_pads, _padded(0.5, [0, 0, 2, 0, 0, 3])).changed == 0
