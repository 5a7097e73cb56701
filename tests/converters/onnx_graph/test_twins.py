"""Broken on purpose: every safety net is shown to catch what it is there for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from converters.bisect import first_divergence_onnx, first_divergence_torch
from converters.errors import ParityError, UnsupportedOp
from converters.onnx_graph import flips
from converters.onnx_graph.graph import Graph
from converters.onnx_graph.pass_types import OnnxPass, PassResult, RewriteOptions
from converters.onnx_graph.pipeline import PASSES, rewrite
from converters.onnx_graph.traps import assert_no_known_traps
from converters.spec import Interface
from converters.torch_to_onnx import export
from tests.model_zoo import BY_ID


def _exported(name):
    case = BY_ID[name]
    module = case.build()
    return case, module, export(module, case.spec)


def test_flip_survives_as_negative_slice_when_its_pass_is_removed():
    case, _, model = _exported("vits_flow")
    result = rewrite(model, case.spec, case.inputs(), options=RewriteOptions(without=frozenset({"flips"})))
    graph = Graph.from_model(result.model)
    slices = [flips.slice_indices(graph, n) for n in graph.nodes if n.op == "Slice"]
    assert any(i[0] > i[-1] for s in slices for _, i in s)
    with pytest.raises(UnsupportedOp, match=r"flows\.\d/Slice") as caught:
        assert_no_known_traps(result.model)
    assert caught.value.code == "convert/trap-flip"


def test_attention_from_convolutions_is_caught_when_its_pass_is_removed():
    for name in ("vits_attention", "vits_encoder"):
        case, _, model = _exported(name)
        result = rewrite(
            model, case.spec, case.inputs(), options=RewriteOptions(without=frozenset({"linear_attention"}))
        )
        with pytest.raises(UnsupportedOp) as caught:
            assert_no_known_traps(result.model)
        assert caught.value.code == "convert/trap-channel-reshape"
        assert "Reshape" in caught.value.where


def _spoil(model, name):
    spoiled = type(model)()
    spoiled.CopyFrom(model)
    tensor = next(t for t in spoiled.graph.initializer if t.name == name)
    array = np.frombuffer(tensor.raw_data, np.float32).copy()
    array[len(array) // 2] += 0.05
    tensor.raw_data = array.tobytes()
    return spoiled


def test_one_changed_weight_is_named_between_onnx_graphs(tmp_path):
    case, _, model = _exported("vits_flow")
    interface = Interface.torch(case.spec)
    spoiled = _spoil(model, "flows.2.enc.in_layers.1.weight")
    found = first_divergence_onnx((model, interface), (spoiled, interface), case.inputs(), repro_dir=tmp_path / "repro")
    assert found.node == "flows.2.enc.in_layers.1/Conv"
    assert {p.name for p in (tmp_path / "repro").iterdir()} == {"model.onnx", "inputs.npz", "outputs.npz"}


def test_one_changed_weight_is_named_against_torch():
    case, module, model = _exported("vits_decoder")
    interface = Interface.torch(case.spec)
    assert first_divergence_torch(module, case.spec, model, interface, case.inputs()) is None
    spoiled = _spoil(model, "resblocks.2.convs.1.weight")
    found = first_divergence_torch(module, case.spec, spoiled, interface, case.inputs())
    assert found is not None and found.node == "resblocks.2.convs.1/Conv"


def test_one_changed_weight_is_named_after_all_passes():
    case, _, model = _exported("vits_flow")
    good = rewrite(model, case.spec)
    bad = rewrite(_spoil(model, "flows.4.enc.res_skip_layers.0.weight"), case.spec)
    found = first_divergence_onnx((model, Interface.torch(case.spec)), (bad.model, bad.interface), case.inputs())
    assert found.node.startswith("flows.4.enc.res_skip_layers.0/Conv")
    fine = first_divergence_onnx((model, Interface.torch(case.spec)), (good.model, good.interface), case.inputs())
    assert np.isnan(fine.snr_db)  # no operator of the good graph diverges


def _break_flips(graph, options):
    result = flips.apply(graph, options)
    for node in graph.nodes:
        if "/Flip" in node.name and node.op == "Gather":
            graph.constants[node.inputs[1]] = np.roll(graph.constants[node.inputs[1]], 1)
    return result


def _break_bias(graph, options):
    node = next(n for n in graph.nodes if n.op == "Conv" and n.name.startswith("flows.0.pre/"))
    node.inputs[2] = graph.add_constant("spoiled", graph.constants[node.inputs[2]] + 0.01)
    graph.touch()
    return PassResult(name="break_bias", changed=1)


def test_a_wrong_pass_is_named_with_the_first_diverging_operator(tmp_path):
    case, _, model = _exported("vits_flow")
    broken = [dataclasses.replace(p, apply=_break_flips) if p.name == "flips" else p for p in PASSES]
    with pytest.raises(ParityError, match="onnx pass flips") as caught:
        rewrite(model, case.spec, case.inputs(), passes=broken)
    assert caught.value.where.startswith("flows.7")

    spoiled = [*PASSES, OnnxPass(name="break_bias", apply=_break_bias)]
    with pytest.raises(ParityError, match="onnx pass break_bias") as caught:
        rewrite(model, case.spec, case.inputs(), passes=spoiled, repro_dir=tmp_path / "repro")
    assert caught.value.where == "flows.0.pre/Conv"
    with np.load(tmp_path / "repro" / "inputs.npz") as inputs:
        assert inputs["input_0"].shape == (1, 4, 1, 16)


def test_without_probes_nothing_is_compared():
    case, _, model = _exported("vits_flow")
    broken = [dataclasses.replace(p, apply=_break_flips) if p.name == "flips" else p for p in PASSES]
    assert not rewrite(model, case.spec, passes=broken).parity.tensors
