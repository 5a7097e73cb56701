from __future__ import annotations

import importlib
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from converters.errors import ForeignToolFailed, ShapeNotStatic, UnsupportedOp
from converters.keras_graph.run import keras_runner
from converters.onnx_graph.pass_types import RewriteOptions
from converters.onnx_graph.pipeline import rewrite
from converters.onnx_graph.run import intermediates, onnx_runner
from converters.onnx_to_keras import stage_intermediates, to_keras
from converters.parity import compare
from converters.spec import Interface, PartSpec, TensorSpec
from converters.torch_to_onnx import export
from tests.converters.chain import build
from tests.model_zoo import BY_ID

SHAPE = (1, 4, 6, 5)
SPEC = PartSpec(name="one", inputs=(TensorSpec(name="x", shape=SHAPE),), outputs=(TensorSpec(name="y", shape=SHAPE),))


def _one_node(op: str, *, domain: str = "", **attributes: object) -> onnx.ModelProto:
    node = helper.make_node(op, ["x"], ["y"], name=f"layer/{op}", domain=domain, **attributes)
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy"]
    graph = helper.make_graph([node], "g", [info[0]], [info[1]])
    imports = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


@pytest.mark.parametrize("case_id", ["conv2d", "vits_decoder", "sdpa_block", "conv_lstm"])
def test_stage_computes_what_torch_computes(case_id: str) -> None:
    chain = build(case_id)
    inputs = chain.case.inputs(1)
    report = compare(chain.reference(inputs), keras_runner(chain.stage.model, chain.stage.interface)(inputs))
    assert report.worst_snr_db > 100


def test_model_is_not_changed() -> None:
    case = BY_ID["conv2d"]
    rewritten = rewrite(export(case.build(), case.spec), case.spec)
    before = rewritten.model.SerializeToString()
    to_keras(rewritten.model, rewritten.interface)
    assert rewritten.model.SerializeToString() == before


def test_bare_onnx2tf_drops_the_flip_and_is_caught() -> None:
    case = BY_ID["flip_time"]
    options = RewriteOptions(without=frozenset({name for name in _passes() if "flip" in name}))
    rewritten = rewrite(export(case.build(), case.spec), case.spec, options=options)
    inputs = case.inputs(2)
    expected = onnx_runner(rewritten.model, rewritten.interface)(inputs)
    exact = to_keras(rewritten.model, rewritten.interface)
    assert compare(expected, keras_runner(exact.model, exact.interface)(inputs)).worst_snr_db > 100
    bare = to_keras(rewritten.model, rewritten.interface, exact_operators=False)
    assert compare(expected, keras_runner(bare.model, bare.interface)(inputs)).worst_snr_db < 20


def _passes() -> list[str]:
    from converters.onnx_graph.pipeline import PASSES

    return [getattr(item, "name", None) or item.__name__ for item in PASSES]


def test_intermediates_name_every_node() -> None:
    chain = build("vits_decoder")
    inputs = chain.case.inputs(1)
    expected = intermediates(chain.onnx.model, chain.onnx.interface, inputs)
    found = stage_intermediates(chain.stage, chain.onnx.model, expected, inputs)
    assert len(found) > 0.9 * len(chain.onnx.model.graph.node)
    for name, value in found.items():
        assert np.sort(value.ravel()) == pytest.approx(np.sort(expected[name].ravel()), abs=1e-5), name


def test_unknown_operator_is_refused_with_its_layer() -> None:
    with pytest.raises(UnsupportedOp) as caught:
        to_keras(_one_node("Frobnicate", domain="elsewhere"), Interface.torch(SPEC))
    assert "Frobnicate" in str(caught.value)
    assert caught.value.where == "layer/Frobnicate"


def test_operator_without_layer_is_refused_with_its_layer() -> None:
    from converters.keras_graph.relayer import relayer

    stage = to_keras(_one_node("Acosh"), Interface.torch(SPEC))
    with pytest.raises(UnsupportedOp) as caught:
        relayer(stage)
    assert caught.value.where == "layer/Acosh"
    assert caught.value.hint


def test_failure_inside_onnx2tf_shows_version_lines_and_log(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("onnx2tf.ops.Tanh")

    def broken(**_: object) -> None:
        print("about to fail")
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(module, "make_node", broken)
    with pytest.raises(ForeignToolFailed) as caught:
        to_keras(_one_node("Tanh"), Interface.torch(SPEC))
    text = str(caught.value)
    assert "onnx2tf 1.29.24" in text
    assert "broken on purpose" in text
    assert "about to fail" in text
    path = Path(caught.value.hint.removeprefix("whole log: "))
    assert "about to fail" in path.read_text(encoding="utf-8")
    path.unlink()


def test_process_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx2tf

    module = importlib.import_module("onnx2tf.onnx2tf")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    before = (module.get_tf_model_outputs, module.dummy_onnx_inference, onnx2tf.convert)
    np.random.seed(5)
    state = np.random.get_state()[1].copy()
    to_keras(_one_node("Tanh"), Interface.torch(SPEC))
    assert (module.get_tf_model_outputs, module.dummy_onnx_inference, onnx2tf.convert) == before
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert np.array_equal(np.random.get_state()[1], state)


def test_symbolic_shape_is_refused() -> None:
    model = _one_node("Tanh")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[3].dim_param = "time"
    with pytest.raises(ShapeNotStatic):
        to_keras(model, Interface.torch(SPEC))
