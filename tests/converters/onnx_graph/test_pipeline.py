"""Every module of the zoo keeps its function through all passes, and ends up in the promised shape."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from converters.onnx_graph import pipeline
from converters.onnx_graph.pass_types import RewriteOptions
from converters.onnx_graph.pipeline import PASSES, random_like, rewrite
from converters.onnx_graph.run import onnx_runner
from converters.onnx_graph.traps import assert_no_known_traps
from converters.parity import compare
from converters.torch_run import torch_runner
from converters.torch_to_onnx import export
from tests.model_zoo import BY_ID, CASES
from tests.zoo_more import MORE


@pytest.mark.parametrize("case", (*CASES, *MORE), ids=lambda c: c.id)
def test_rewritten_graph_agrees_with_torch(case):
    module = case.build()
    arrays = case.inputs(seed=7)
    result = rewrite(export(module, case.spec), case.spec, case.inputs(seed=3))
    found = onnx_runner(result.model, result.interface)(arrays)
    assert compare(torch_runner(module, case.spec)(arrays), found).max_abs <= 1e-5
    assert_no_known_traps(result.model)
    for node in result.model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            assert len(node.input) == 3 and all(node.input)


def _rewritten(name, **options):
    case = BY_ID[name]
    model = export(case.build(), case.spec)
    return rewrite(model, case.spec, case.inputs(), options=RewriteOptions(**options))


def _ops(result):
    return Counter(node.op_type for node in result.model.graph.node)


def test_flow_has_no_data_movement_but_one_split_and_one_concat():
    result = _rewritten("vits_flow")
    ops = _ops(result)
    assert ops["Split"] == 1 and ops["Concat"] == 1
    assert not set(ops) & {"Slice", "Gather", "Transpose", "Reshape", "Squeeze", "Unsqueeze"}
    assert result.interface.layouts["z_p"].expanded == (1, 8, 1, 16)
    assert result.interface.layouts["y0"].target_shape == (1, 8, 1, 16)


def test_odd_number_of_flips_leaves_gathers():
    ops = _ops(_rewritten("vits_flow_odd"))
    assert ops["Gather"] >= 1 and not ops["Slice"]


@pytest.mark.parametrize(("name", "steps"), [("vits_decoder", 2), ("vits_decoder_k16s8", 2), ("vits_decoder_plain", 3)])
def test_decoder_moves_data_only_in_depth_to_time(name, steps):
    """Of the upsamplings, and of the last convolution where no mask follows it."""
    result = _rewritten(name)
    moving = [n.name for n in result.model.graph.node if n.op_type in ("Reshape", "Transpose", "Slice", "Gather")]
    assert len(moving) == 3 * steps and all("/DepthToTime/" in n for n in moving)
    labels = sorted(n for n in moving if n.startswith("ups.0/"))
    assert labels == [f"ups.0/DepthToTime/{x}" for x in ("Reshape_in", "Reshape_out", "Transpose")]


def test_native_transposed_convolutions_stay():
    ops = _ops(_rewritten("vits_decoder", transposed_conv="native"))
    assert ops["ConvTranspose"] == 2 and not ops["Reshape"]


def test_signals_are_rank_four_and_kernels_one_by_k():
    from converters.onnx_graph.graph import Graph

    for name in ("vits_flow", "vits_decoder"):
        graph = Graph.from_model(_rewritten(name).model)
        for node in graph.nodes:
            assert "DepthToTime" in node.name or graph.rank(node.output) == 4
            if node.op == "Conv":
                assert graph.constants[node.inputs[1]].shape[2] == 1


def test_halves_of_a_gate_are_separate_convolutions():
    result = _rewritten("vits_wavenet")
    consumers = {n.input[0]: n for n in result.model.graph.node if n.op_type in ("Tanh", "Sigmoid")}
    producers = {n.output[0]: n.op_type for n in result.model.graph.node}
    assert len(consumers) == 6 and all(producers[value] == "Conv" for value in consumers)


def test_passes_respect_their_declared_order():
    seen: set[str] = set()
    names = {p.name for p in PASSES}
    for step in PASSES:
        assert set(step.after) <= seen, step.name
        assert set(step.after) <= names
        seen.add(step.name)


def test_the_same_graph_twice_gives_the_same_bytes():
    case = BY_ID["vits_flow"]
    first, second = (
        rewrite(export(case.build(), case.spec), case.spec).model.SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert first == second


def test_random_probes_keep_kinds():
    arrays = {
        "mask": np.ones((1, 1, 9), np.float32),
        "ids": np.arange(5, dtype=np.int32),
        "x": np.full((1, 2, 50), 3.0, np.float32) + np.linspace(-1, 1, 50, dtype=np.float32),
    }
    made = random_like(arrays, seed=1)
    assert set(np.unique(made["mask"])) == {0.0, 1.0}
    assert made["ids"].dtype == np.int32 and made["ids"].min() >= 0 and made["ids"].max() <= 4
    assert 1.0 < made["x"].mean() < 5.0 and made["x"].std() > 0.1


def test_snr_limit_is_strict():
    assert pipeline.MIN_SNR_DB >= 90.0
