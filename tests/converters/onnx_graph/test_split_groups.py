"""Grouped convolutions become one a group where NNAPI is asked for, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from converters.onnx_graph import split_groups
from tests.converters.onnx_graph.graphs import apply, make_graph, ops, run, weights


def _grouped(inputs: int, outputs: int, groups: int, *, bias: bool = True, plane: bool = False):
    kernel = (3, 3) if plane else (3,)
    nodes = [("Conv", "x w b" if bias else "x w", "y", {"group": groups, "pads": [1] * (2 * len(kernel))})]
    constants = {"w": weights(outputs, inputs // groups, *kernel), **({"b": weights(outputs)} if bias else {})}
    return make_graph({"x": (1, inputs, *(10,) * len(kernel))}, nodes, ["y"], **constants)


@pytest.mark.parametrize("plane", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("sizes", [(8, 4, 2), (12, 6, 3), (8, 16, 4)], ids=str)
def test_each_group_becomes_a_convolution_of_its_own(sizes, bias, plane):
    graph = _grouped(*sizes, bias=bias, plane=plane)
    assert apply(split_groups, graph, accelerator="nnapi").changed == 1
    found = ops(graph)
    assert (found["Conv"], found["Slice"], found["Concat"]) == (sizes[2], sizes[2], 1)
    assert all(node.attributes["group"] == 1 for node in graph.nodes if node.op == "Conv")
    assert graph.outputs == ["y"]


@pytest.mark.parametrize("accelerator", ["any", "gpu"])
def test_for_others_nothing_changes(accelerator):
    assert apply(split_groups, _grouped(8, 4, 2), accelerator=accelerator).changed == 0


def test_depthwise_convolutions_stay_and_very_many_groups_are_told():
    assert apply(split_groups, _grouped(8, 16, 8), accelerator="nnapi").changed == 0
    result = apply(split_groups, _grouped(144, 144, 72), accelerator="nnapi")
    assert result.changed == 0 and "72 groups" in result.skipped[0].reason


def test_exchanged_groups_are_seen():
    """The twin: the results of two groups in the other order are other numbers."""
    graph = _grouped(8, 4, 2)
    before = run(graph)
    split_groups.apply(graph, type("Nnapi", (), {"accelerator": "nnapi"})())
    (joined,) = (node for node in graph.nodes if node.op == "Concat")
    joined.inputs = joined.inputs[::-1]
    assert not np.allclose(run(graph)[0], before[0])
