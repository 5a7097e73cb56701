"""Slices, flips and concatenations of channels disappear into weights, and only where that is exact."""

from __future__ import annotations

import json

import numpy as np
import pytest

from converters.onnx_graph import channel_gathers, flips, gather_down, gather_up, packed_projections, restore_slices
from tests.converters.onnx_graph.graphs import apply, make_graph, ops, weights

I64 = np.int64
X = {"x": (1, 6, 10)}
CONV = ("Conv", "x w b", "h", {})
PARAMS = {"w": weights(8, 6, 3), "b": weights(8)}
REVERSED = {"s": I64([-1]), "e": I64([-(2**62)]), "a": I64([1]), "t": I64([-1])}


def test_flip_becomes_gather():
    graph = make_graph(X, [("Slice", "x s e a t", "y", {})], ["y"], **REVERSED)
    assert apply(flips, graph).changed == 1
    (node,) = graph.nodes
    assert node.op == "Gather" and graph.constants[node.inputs[1]].tolist() == [5, 4, 3, 2, 1, 0]


def test_flip_of_two_axes_becomes_two_gathers():
    constants = {"s": I64([-1, -1]), "e": I64([-99, -99]), "a": I64([1, 2]), "t": I64([-1, -1])}
    graph = make_graph(X, [("Slice", "x s e a t", "y", {})], ["y"], **constants)
    apply(flips, graph)
    assert ops(graph) == {"Gather": 2}


def test_forward_slice_is_no_flip():
    constants = {"s": I64([1]), "e": I64([4]), "a": I64([1]), "t": I64([1])}
    graph = make_graph(X, [("Slice", "x s e a t", "y", {})], ["y"], **constants)
    assert apply(flips, graph).changed == 0 and ops(graph) == {"Slice": 1}


def test_split_of_convolution_becomes_two_convolutions():
    nodes = [
        CONV,
        ("Split", "h n", "p q", {"axis": 1}),
        ("Tanh", "p", "u", {}),
        ("Sigmoid", "q", "v", {}),
        ("Mul", "u v", "y", {}),
    ]
    graph = make_graph(X, nodes, ["y"], n=I64([4, 4]), **PARAMS)
    apply(channel_gathers, graph)
    apply(gather_up, graph)
    assert ops(graph) == {"Conv": 2, "Tanh": 1, "Sigmoid": 1, "Mul": 1}
    second = [n for n in graph.nodes if n.op == "Conv"][1]
    assert json.loads(second.metadata["channels"]) in ([0, 1, 2, 3], [4, 5, 6, 7])


def test_slice_stays_when_the_whole_output_is_needed_too():
    nodes = [CONV, ("Gather", "h i", "p", {"axis": 1}), ("Tanh", "p", "y", {}), ("Relu", "h", "z", {})]
    graph = make_graph(X, nodes, ["y", "z"], i=I64([0, 1]), **PARAMS)
    assert apply(gather_up, graph).changed == 0


def test_overlapping_slices_do_not_compute_channels_twice():
    nodes = [CONV, ("Gather", "h i", "y", {"axis": 1}), ("Gather", "h j", "z", {"axis": 1})]
    graph = make_graph(X, nodes, ["y", "z"], i=I64([0, 1, 2]), j=I64([2, 3]), **PARAMS)
    assert apply(gather_up, graph).changed == 0


def test_slice_of_grouped_convolution_stays():
    nodes = [("Conv", "x w b", "h", {"group": 2}), ("Gather", "h i", "y", {"axis": 1})]
    graph = make_graph(X, nodes, ["y"], i=I64([0, 1]), w=weights(8, 3, 3), b=weights(8))
    assert apply(gather_up, graph).changed == 0


@pytest.mark.parametrize(("indices", "left"), [([0, 1, 2], 0), ([6, 7, 8, 9, 10, 11], 0), ([5, 6], 3)])
def test_slice_of_concatenation_takes_what_it_needs(indices, left):
    nodes = [("Concat", "x z", "h", {"axis": 1}), ("Gather", "h i", "p", {"axis": 1}), ("Relu", "p", "y", {})]
    graph = make_graph({"x": (1, 6, 10), "z": (1, 6, 10)}, nodes, ["y"], i=I64(indices))
    apply(gather_up, graph)
    assert ops(graph)["Concat"] == (1 if left else 0)


def test_slice_of_linear_is_a_smaller_linear():
    nodes = [
        ("MatMul", "x w", "h", {}),
        ("Add", "h b", "g", {}),
        ("Gather", "g i", "y", {"axis": 2}),
        ("Gather", "g j", "z", {"axis": 2}),
    ]
    graph = make_graph(X, nodes, ["y", "z"], w=weights(10, 8), b=weights(8), i=I64([0, 1, 2, 3]), j=I64([4, 5, 6, 7]))
    apply(gather_up, graph)
    assert ops(graph) == {"MatMul": 2, "Add": 2}


def test_flip_folds_into_the_next_convolution():
    graph = make_graph(
        X, [("Gather", "x i", "h", {"axis": 1}), ("Conv", "h w b", "y", {})], ["y"], i=I64(range(6))[::-1], **PARAMS
    )
    apply(gather_down, graph)
    assert ops(graph) == {"Conv": 1}


def test_flip_sinks_through_activation_mask_and_subtraction():
    nodes = [
        ("Gather", "x i", "f", {"axis": 1}),
        ("Conv", "x w b", "h", {"pads": [1, 1]}),
        ("Mul", "h m", "g", {}),
        ("Sub", "f g", "d", {}),
        ("LeakyRelu", "d", "l", {"alpha": 0.1}),
        ("Conv", "l v c", "y", {}),
    ]
    constants = {
        "w": weights(6, 6, 3),
        "b": weights(6),
        "v": weights(4, 6, 1),
        "c": weights(4),
        "i": I64(range(6))[::-1],
    }
    graph = make_graph({**X, "m": (1, 1, 10)}, nodes, ["y"], **constants)
    apply(gather_down, graph)
    assert ops(graph) == {"Conv": 2, "Mul": 1, "Sub": 1, "LeakyRelu": 1}


def test_flip_through_concatenation_reaches_the_convolution():
    nodes = [("Gather", "x i", "f", {"axis": 1}), ("Concat", "f z", "h", {"axis": 1}), ("Conv", "h w b", "y", {})]
    graph = make_graph({**X, "z": (1, 2, 10)}, nodes, ["y"], i=I64(range(6))[::-1], w=weights(8, 8, 3), b=weights(8))
    apply(gather_down, graph)
    assert ops(graph) == {"Concat": 1, "Conv": 1}


def test_flip_at_an_output_stays_a_gather_with_a_reason():
    graph = make_graph(X, [("Gather", "x i", "h", {"axis": 1}), ("Relu", "h", "y", {})], ["y"], i=I64(range(6))[::-1])
    result = apply(gather_down, graph)
    assert ops(graph) == {"Gather": 1, "Relu": 1} and "no convolution" in result.skipped[0].reason


def test_flip_in_time_is_not_folded_into_channels():
    graph = make_graph(
        X, [("Gather", "x i", "h", {"axis": 2}), ("Conv", "h w b", "y", {})], ["y"], i=I64(range(10))[::-1], **PARAMS
    )
    apply(gather_down, graph)
    assert ops(graph) == {"Gather": 1, "Conv": 1}


def test_flip_before_grouped_convolution_stays():
    nodes = [("Gather", "x i", "h", {"axis": 1}), ("Conv", "h w b", "y", {"group": 3})]
    graph = make_graph(X, nodes, ["y"], i=I64(range(6))[::-1], w=weights(6, 2, 3), b=weights(6))
    apply(gather_down, graph)
    assert ops(graph)["Gather"] == 1


def test_flip_sinking_past_a_value_that_is_read_elsewhere_stays_exact():
    nodes = [
        ("Gather", "x i", "f", {"axis": 1}),
        ("Conv", "x w b", "h", {"pads": [1, 1]}),
        ("Add", "f h", "d", {}),
        ("Conv", "d v c", "y", {}),
        ("Relu", "h", "z", {}),
    ]
    constants = {
        "w": weights(6, 6, 3),
        "b": weights(6),
        "v": weights(4, 6, 1),
        "c": weights(4),
        "i": I64(range(6))[::-1],
    }
    graph = make_graph(X, nodes, ["y", "z"], **constants)
    apply(gather_down, graph)
    assert ops(graph)["Gather"] == 1


def test_gathers_that_share_a_tensor_out_become_one_split():
    nodes = [
        ("Gather", "x i", "p", {"axis": 1}),
        ("Gather", "x j", "q", {"axis": 1}),
        ("Relu", "p", "y", {}),
        ("Tanh", "q", "z", {}),
    ]
    graph = make_graph(X, nodes, ["y", "z"], i=I64([2, 3, 4, 5]), j=I64([0, 1]))
    apply(restore_slices, graph)
    assert ops(graph) == {"Split": 1, "Relu": 1, "Tanh": 1}


@pytest.mark.parametrize(
    ("indices", "op"), [([1, 2, 3], "Slice"), ([0, 2, 4], "Slice"), ([0, 3, 4], "Gather"), ([2], "Slice")]
)
def test_other_gathers_become_slices_where_evenly_spaced(indices, op):
    graph = make_graph(X, [("Gather", "x i", "p", {"axis": 1}), ("Relu", "p", "y", {})], ["y"], i=I64(indices))
    apply(restore_slices, graph)
    assert ops(graph)[op] == 1


@pytest.mark.parametrize(("perm", "changed"), [([2, 0, 1, 3], 1), ([2, 1, 0, 3], 0)])
def test_packed_projection_is_a_slice_only_when_the_order_agrees(perm, changed):
    nodes = [
        ("Relu", "x", "r", {}),
        ("Reshape", "r s", "c", {}),
        ("Transpose", "c", "d", {"perm": perm}),
        ("Gather", "d i", "e", {"axis": 0}),
        ("Tanh", "e", "y", {}),
    ]
    graph = make_graph({"x": (5, 3, 12)}, nodes, ["y"], s=I64([5, 3, 3, 4]), i=I64(1))
    assert apply(packed_projections, graph).changed == changed
