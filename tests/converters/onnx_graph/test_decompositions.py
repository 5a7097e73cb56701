"""Normalisations and missing operators, written with what TensorFlow Lite has."""

from __future__ import annotations

import numpy as np
import pytest

from converters.onnx_graph import decompose, matrix_forms, normalisation
from converters.onnx_graph.run import onnx_runner
from converters.spec import Interface, PartSpec
from tests.converters.onnx_graph.graphs import apply, make_graph, ops, run, weights

X = {"x": (1, 6, 10)}


def test_layer_norm_on_the_last_axis():
    graph = make_graph(X, [("LayerNormalization", "x g b", "y", {"axis": -1})], ["y"], g=weights(10), b=weights(10))
    apply(normalisation, graph)
    assert "LayerNormalization" not in ops(graph) and ops(graph)["ReduceMean"] == 2


def test_layer_norm_between_transposes_needs_no_transpose():
    nodes = [
        ("Transpose", "x", "t", {"perm": [0, 2, 1]}),
        ("LayerNormalization", "t g b", "n", {"axis": -1}),
        ("Transpose", "n", "y", {"perm": [0, 2, 1]}),
    ]
    graph = make_graph(
        X,
        [*nodes[:2], ("Transpose", "n", "u", {"perm": [0, 2, 1]}), ("Relu", "u", "y", {})],
        ["y"],
        g=weights(6),
        b=weights(6),
    )
    apply(normalisation, graph)
    assert "Transpose" not in ops(graph)


@pytest.mark.parametrize("shape", [(1, 6, 10), (2, 6, 4, 5)])
def test_instance_norm(shape):
    graph = make_graph({"x": shape}, [("InstanceNormalization", "x g b", "y", {})], ["y"], g=weights(6), b=weights(6))
    apply(normalisation, graph)
    assert "InstanceNormalization" not in ops(graph)


def test_group_norm_without_reshapes():
    nodes = [
        ("Reshape", "x s", "r", {}),
        ("InstanceNormalization", "r one zero", "n", {}),
        ("Reshape", "n t", "u", {}),
        ("Relu", "u", "y", {}),
    ]
    constants = {
        "s": np.int64([1, 3, -1]),
        "t": np.int64([1, 6, 10]),
        "one": np.ones(3, np.float32),
        "zero": np.zeros(3, np.float32),
    }
    graph = make_graph(X, nodes, ["y"], **constants)
    apply(normalisation, graph)
    assert "Reshape" not in ops(graph) and ops(graph)["Conv"] == 2


def test_batch_norm_folds_into_its_convolution():
    nodes = [("Conv", "x w", "h", {}), ("BatchNormalization", "h g b m v", "n", {}), ("Relu", "n", "y", {})]
    constants = {
        "w": weights(8, 6, 3),
        "g": weights(8),
        "b": weights(8, seed=2),
        "m": weights(8, seed=3),
        "v": np.abs(weights(8)) + 0.5,
    }
    graph = make_graph(X, nodes, ["y"], **constants)
    apply(normalisation, graph)
    assert ops(graph) == {"Conv": 1, "Relu": 1}


def test_batch_norm_after_a_shared_convolution_is_scale_and_shift():
    nodes = [("Conv", "x w", "h", {}), ("BatchNormalization", "h g b m v", "y", {}), ("Relu", "h", "z", {})]
    constants = {
        "w": weights(8, 6, 3),
        "g": weights(8),
        "b": weights(8),
        "m": weights(8),
        "v": np.abs(weights(8)) + 0.5,
    }
    graph = make_graph(X, nodes, ["y", "z"], **constants)
    apply(normalisation, graph)
    assert ops(graph) == {"Conv": 1, "Mul": 1, "Add": 1, "Relu": 1}


def test_normalisation_with_computed_scale_is_left_with_a_reason():
    nodes = [("LayerNormalization", "x s", "y", {"axis": -1})]
    graph = make_graph({**X, "s": (10,)}, nodes, ["y"])
    assert "run time" in apply(normalisation, graph).skipped[0].reason


def test_error_function_is_within_a_millionth():
    graph = make_graph({"x": (1, 4000)}, [("Mul", "x c", "h", {}), ("Erf", "h", "y", {})], ["y"], c=np.float32(2.5))
    before = run(graph)[0]
    apply(decompose, graph)
    assert not ops(graph).keys() & {"Erf", "Sign", "Exp"} and np.abs(run(graph)[0] - before).max() < 7e-7


def test_error_function_has_its_sign_its_ends_and_its_zero():
    graph = make_graph({"x": (1, 7)}, [("Erf", "x", "y", {})], ["y"])
    apply(decompose, graph)
    x = np.array([[-1e30, -6.0, -1e-20, 0.0, 1e-20, 6.0, 1e30]], np.float32)
    found = onnx_runner(graph.to_model(), Interface(spec=PartSpec(name="graph", inputs=(), outputs=())))({"x": x})["y"]
    np.testing.assert_allclose(found, [[-1, -1, 0, 0, 0, 1, 1]], rtol=0, atol=1e-19)
    assert np.all(np.sign(found) == np.sign(x))


def test_a_wrong_coefficient_of_the_error_function_is_seen(monkeypatch):
    monkeypatch.setattr(decompose, "_ERF_P", (*decompose._ERF_P[:-1], 35.2))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_error_function_is_within_a_millionth()


@pytest.mark.parametrize(
    ("node", "left"),
    [
        (("Div", "x c", "y", {}), "Div"),
        (("Pow", "x two", "y", {}), "Pow"),
        (("Pow", "x three", "y", {}), "Pow"),
        (("LogSoftmax", "x", "y", {"axis": 1}), "LogSoftmax"),
    ],
)
def test_rewritten_operators_are_gone(node, left):
    constants = {"c": weights(10), "two": np.float32(2.0), "three": np.float32(3.0)}
    graph = make_graph(X, [node], ["y"], **constants)
    apply(decompose, graph)
    assert left not in ops(graph)


def test_division_by_zero_stays_a_division():
    graph = make_graph(X, [("Div", "x c", "y", {})], ["y"], c=np.float32(0.0))
    decompose.apply(graph, None)
    assert ops(graph) == {"Div": 1}


def test_plain_linear_stays_gemm_and_scaled_one_does_not():
    plain = [("Gemm", "x w b", "y", {"transB": 1})]
    graph = make_graph({"x": (2, 6)}, plain, ["y"], w=weights(4, 6), b=weights(4))
    apply(decompose, graph)
    assert ops(graph) == {"Gemm": 1}
    scaled = [("Gemm", "x w b", "y", {"alpha": 0.5, "beta": 2.0})]
    graph = make_graph({"x": (2, 6)}, scaled, ["y"], w=weights(6, 4), b=weights(4))
    apply(decompose, graph)
    assert "Gemm" not in ops(graph)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("attributes", [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}])
def test_cumulative_sum_is_a_triangular_product(axis, attributes):
    graph = make_graph({"x": (2, 6, 5)}, [("CumSum", "x a", "y", attributes)], ["y"], a=np.int64(axis))
    apply(matrix_forms, graph)
    assert ops(graph)["MatMul"] == 1 and "CumSum" not in ops(graph)


@pytest.mark.parametrize(
    ("equation", "left", "right"),
    [
        ("btd,bsd->bts", (2, 3, 4), (2, 5, 4)),
        ("bhqd,bhkd->bhqk", (1, 2, 3, 4), (1, 2, 5, 4)),
        ("bhqk,bhkd->bqhd", (1, 2, 3, 5), (1, 2, 5, 4)),
        ("bct,oc->bot", (2, 3, 7), (4, 3)),
        ("i,j->ij", (3,), (4,)),
        ("abcd,cd->ab", (2, 3, 4, 5), (4, 5)),
    ],
)
def test_einsum_is_a_matrix_product(equation, left, right):
    nodes = [("Einsum", "x z", "y", {"equation": equation.encode()})]
    graph = make_graph({"x": left, "z": right}, nodes, ["y"])
    apply(matrix_forms, graph)
    assert ops(graph)["MatMul"] == 1 and "Einsum" not in ops(graph)


def test_einsum_that_sums_inside_one_operand_is_left_with_a_reason():
    graph = make_graph({"x": (2, 3), "z": (4,)}, [("Einsum", "x z", "y", {"equation": b"ij,k->ik"})], ["y"])
    assert apply(matrix_forms, graph).skipped


def test_arg_min_and_fixed_assignment():
    graph = make_graph(X, [("ArgMin", "x", "y", {"axis": 1})], ["y"])
    apply(matrix_forms, graph)
    assert ops(graph) == {"Neg": 1, "ArgMax": 1}
    constants = {"i": np.int64([[0, 2], [0, 3]]), "u": weights(2, 10)}
    graph = make_graph(X, [("ScatterND", "x i u", "y", {})], ["y"], **constants)
    apply(matrix_forms, graph)
    assert ops(graph) == {"Mul": 1, "Add": 1}
