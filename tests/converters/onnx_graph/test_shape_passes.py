"""Constant folding, rank 4, bias, index types, upsampling, transposes: shapes change, numbers do not."""

from __future__ import annotations

import numpy as np
import pytest

from converters.errors import ShapeNotStatic, UnsupportedOp
from converters.onnx_graph import (
    conv_bias,
    fold_constants,
    fold_scales,
    int32_indices,
    lift_rank,
    linear_attention,
    nearest_upsampling,
    renumber,
    transposes,
)
from converters.onnx_graph.graph import Graph
from tests.converters.onnx_graph.graphs import apply, make_graph, ops, run, weights

I64 = np.int64
X = {"x": (1, 6, 10)}


def test_shape_arithmetic_folds_away():
    nodes = [
        ("Shape", "x", "s", {}),
        ("Gather", "s two", "t", {"axis": 0}),
        ("Unsqueeze", "t zero", "u", {}),
        ("Concat", "one rest u", "n", {"axis": 0}),
        ("Reshape", "x n", "r", {}),
        ("Relu", "r", "y", {}),
    ]
    constants = {"two": I64(2), "zero": I64([0]), "one": I64([2]), "rest": I64([3])}
    graph = make_graph(X, nodes, ["y"], **constants)
    apply(fold_constants, graph)
    assert ops(graph) == {"Reshape": 1, "Relu": 1} and graph.shapes["y"] == (2, 3, 10)


def test_adding_zeros_and_equal_operators_go():
    nodes = [
        ("Add", "x zeros", "a", {}),
        ("Relu", "a", "b", {}),
        ("Relu", "x", "c", {}),
        ("Mul", "b c", "d", {}),
        ("Transpose", "d", "e", {"perm": [0, 1, 2]}),
        ("Tanh", "e", "y", {}),
    ]
    graph = make_graph(X, nodes, ["y"], zeros=np.zeros((1, 6, 10), np.float32))
    apply(fold_constants, graph)
    assert ops(graph) == {"Relu": 1, "Mul": 1, "Tanh": 1}


def test_adding_zeros_that_broadcast_stays():
    graph = make_graph({"x": (1, 6, 1)}, [("Add", "x z", "y", {})], ["y"], z=np.zeros((1, 6, 4), np.float32))
    apply(fold_constants, graph)
    assert ops(graph) == {"Add": 1}


def test_output_that_is_an_input_keeps_an_identity():
    graph = make_graph(X, [("Identity", "x", "y", {})], ["y"])
    apply(fold_constants, graph)
    assert graph.outputs == ["y"] and ops(graph) == {"Identity": 1}


def test_random_numbers_are_refused_by_name():
    graph = make_graph(X, [("RandomNormalLike", "x", "n", {}), ("Add", "x n", "y", {})], ["y"])
    with pytest.raises(UnsupportedOp, match="RandomNormalLike") as caught:
        fold_constants.apply(graph, None)
    assert caught.value.where == "layer0/RandomNormalLike" and "input" in caught.value.hint


def test_data_dependent_shape_is_refused_by_name():
    graph = make_graph({"x": (6,)}, [("NonZero", "x", "i", {}), ("Identity", "i", "y", {})], ["y"])
    with pytest.raises(ShapeNotStatic, match="NonZero") as caught:
        fold_constants.apply(graph, None)
    assert caught.value.where == "layer0/NonZero"


def test_convolution_without_bias_gets_zeros():
    graph = make_graph(X, [("Conv", "x enc.weight", "y", {})], ["y"], **{"enc.weight": weights(8, 6, 3)})
    apply(conv_bias, graph)
    assert graph.nodes[0].inputs[2] == "enc.bias" and not graph.constants["enc.bias"].any()


def test_lifted_region_ends_at_a_transpose_with_views_only():
    nodes = [
        ("Conv", "x w b", "h", {"pads": [1, 1]}),
        ("Transpose", "h", "t", {"perm": [0, 2, 1]}),
        ("MatMul", "t m", "p", {}),
        ("Transpose", "p", "q", {"perm": [0, 2, 1]}),
        ("Conv", "q v", "y", {}),
    ]
    constants = {"w": weights(8, 6, 3), "b": weights(8), "m": weights(8, 4), "v": weights(3, 4, 1)}
    graph = make_graph(X, nodes, ["y"], **constants)
    # The rank of the input changes, so `run` feeds the same random numbers in the new shape.
    apply(lift_rank, graph)
    assert graph.shapes["x"] == (1, 6, 1, 10) and graph.shapes["y"] == (1, 3, 1, 10)
    perms = [list(n.attributes["perm"]) for n in graph.nodes if n.op == "Transpose"]
    assert perms == [[0, 2, 3, 1], [0, 3, 1, 2]]
    assert ops(graph) == {"Conv": 2, "Transpose": 2, "Squeeze": 1, "Unsqueeze": 1, "MatMul": 1}


def test_value_used_inside_and_outside_gets_one_border():
    nodes = [
        ("Conv", "x w", "h", {}),
        ("Relu", "h", "y", {}),
        ("Reshape", "h s", "f", {}),
        ("Reshape", "h s", "g", {}),
        ("Add", "f g", "z", {}),
    ]
    graph = make_graph(X, nodes, ["y", "z"], w=weights(8, 6, 3), s=I64([1, 64]))
    apply(lift_rank, graph)
    assert ops(graph)["Squeeze"] == 1


def test_graph_without_convolutions_is_left_alone():
    graph = make_graph(X, [("MatMul", "x m", "h", {}), ("Relu", "h", "y", {})], ["y"], m=weights(10, 4))
    assert apply(lift_rank, graph).changed == 0 and graph.shapes["x"] == (1, 6, 10)


def test_two_dimensional_convolutions_are_left_alone():
    graph = make_graph({"x": (1, 3, 8, 8)}, [("Conv", "x w", "y", {})], ["y"], w=weights(4, 3, 3, 3))
    assert apply(lift_rank, graph).changed == 0


def test_repeat_interleave_becomes_nearest_resize():
    nodes = [("Unsqueeze", "x ax", "u", {}), ("Tile", "u reps", "t", {}), ("Reshape", "t s", "y", {})]
    constants = {"ax": I64([3]), "reps": I64([1, 1, 1, 4]), "s": I64([1, 6, 40])}
    graph = make_graph(X, nodes, ["y"], **constants)
    apply(nearest_upsampling, graph)
    assert ops(graph) == {"Resize": 1}


def test_tiling_whole_signals_is_no_upsampling():
    nodes = [("Unsqueeze", "x ax", "u", {}), ("Tile", "u reps", "t", {}), ("Reshape", "t s", "y", {})]
    constants = {"ax": I64([2]), "reps": I64([1, 1, 4, 1]), "s": I64([1, 6, 40])}
    graph = make_graph(X, nodes, ["y"], **constants)
    assert apply(nearest_upsampling, graph).changed == 0


def test_int64_casts_in_front_of_gathers_go():
    graph = make_graph(
        {}, [("Cast", "ids", "i", {"to": 7}), ("Gather", "table i", "y", {})], ["y"], table=weights(9, 4)
    )
    graph.inputs, graph.shapes["ids"], graph.dtypes["ids"] = ["ids"], (1, 5), np.dtype(np.int32)
    int32_indices.apply(graph, None)
    assert ops(graph) == {"Gather": 1} and graph.nodes[0].inputs[1] == "ids"


def test_transposes_and_reshapes_fuse():
    nodes = [
        ("Transpose", "x", "a", {"perm": [0, 2, 1]}),
        ("Transpose", "a", "b", {"perm": [1, 2, 0]}),
        ("Reshape", "b s", "c", {}),
        ("Reshape", "c r", "y", {}),
    ]
    graph = make_graph(X, nodes, ["y"], s=I64([2, 30]), r=I64([0, 5, -1]))
    apply(transposes, graph)
    assert ops(graph) == {"Transpose": 1, "Reshape": 1}


def test_average_of_resblocks_folds_into_the_next_convolution():
    nodes = [("Mul", "x third", "h", {}), ("LeakyRelu", "h", "l", {"alpha": 0.1}), ("Conv", "l w b", "y", {})]
    graph = make_graph(X, nodes, ["y"], third=np.float32(1 / 3), w=weights(8, 6, 3), b=weights(8))
    apply(fold_scales, graph)
    assert ops(graph) == {"LeakyRelu": 1, "Conv": 1}


@pytest.mark.parametrize(("factor", "activation"), [(-0.5, "LeakyRelu"), (0.5, "Tanh")])
def test_factors_that_do_not_commute_stay(factor, activation):
    nodes = [("Mul", "x c", "h", {}), (activation, "h", "l", {}), ("Conv", "l w b", "y", {})]
    graph = make_graph(X, nodes, ["y"], c=np.float32(factor), w=weights(8, 6, 3), b=weights(8))
    assert apply(fold_scales, graph).changed == 0


def test_attention_projection_becomes_linear_and_reshapes_the_last_axis():
    nodes = [
        ("Conv", "x w b", "h", {}),
        ("Reshape", "h s", "r", {}),
        ("Transpose", "r", "y", {"perm": [0, 1, 3, 2]}),
    ]
    graph = make_graph(X, nodes, ["y"], w=weights(8, 6, 1), b=weights(8), s=I64([1, 2, 4, 10]))
    apply(linear_attention, graph)
    assert ops(graph) == {"Transpose": 2, "MatMul": 1, "Add": 1, "Reshape": 1}
    (reshape,) = [n for n in graph.nodes if n.op == "Reshape"]
    assert graph.shapes[reshape.output] == (1, 10, 2, 4)


def test_renumbering_is_stable_and_keeps_the_interface():
    nodes = [("Conv", "x w_1_2", "h", {}), ("Relu", "h", "y", {})]
    graph = make_graph(X, nodes, ["y"], w_1_2=weights(8, 6, 3))
    graph.nodes[0].name = "enc/Conv_4_1"
    apply(renumber, graph)
    assert [n.name for n in graph.nodes] == ["enc/Conv", "layer1/Relu"]
    assert list(graph.constants) == ["w"] and graph.inputs == ["x"] and graph.outputs == ["y"]
    assert renumber.apply(graph, None).changed == 0


def test_graph_survives_a_round_trip():
    nodes = [("Conv", "x w b", "h", {"pads": [1, 1]}), ("LeakyRelu", "h", "y", {"alpha": 0.1})]
    graph = make_graph(X, nodes, ["y"], w=weights(8, 6, 3), b=weights(8))
    again = Graph.from_model(graph.to_model())
    np.testing.assert_array_equal(run(graph)[0], run(again)[0])
    assert [n.metadata for n in again.nodes] == [n.metadata for n in graph.nodes]


def test_transpose_without_a_permutation_reverses():
    graph = make_graph(X, [("Transpose", "x", "h", {}), ("Transpose", "h", "y", {})], ["y"])
    again = Graph.from_model(graph.to_model())
    assert [n.attributes["perm"] for n in again.nodes] == [[2, 1, 0]] * 2
    apply(transposes, again)


def test_convolution_with_a_computed_kernel_stays_rank_three():
    graph = make_graph({**X, "k": (4, 6, 3)}, [("Conv", "x k", "h", {}), ("Relu", "h", "y", {})], ["y"])
    assert apply(lift_rank, graph).changed == 0
