"""A hop that changes the numbers stops the run and names the layer that did it."""

from dataclasses import replace

import numpy as np
import pytest

from converters import frameworks
from toolkit.cli.app import outcome

ARGUMENTS = ("convert", "tests.end_to_end.small_models:convolutions", "--input", "x:1x4x24", "--quiet")
CULPRIT = "middle"


@pytest.fixture
def one_kernel_off(monkeypatch):
    """The trainable model comes back with one weight of the layer ``middle`` changed by a percent of its peak."""
    frameworks.tf_keras()
    from converters.keras_graph import relayer as module

    faithful = module.relayer

    def perturbed(stage):
        found = faithful(stage)
        (layer,) = [
            found.model.get_layer(name)
            for name, torch_name in found.torch_names.items()
            if torch_name == f"{CULPRIT}/Conv" and found.model.get_layer(name).weights
        ]
        kernel, *others = layer.get_weights()
        kernel = kernel.copy()
        kernel.flat[np.abs(kernel).argmax()] *= 1.01
        layer.set_weights([kernel, *others])
        return replace(found)

    monkeypatch.setattr(module, "relayer", perturbed)


@pytest.mark.usefixtures("one_kernel_off")
def test_changed_weight_is_named_by_its_torch_layer(tmp_path, capfd):
    out = tmp_path / "run"
    assert outcome([*ARGUMENTS, "--out", str(out)]) == 2
    said = capfd.readouterr().err
    assert "error[convert/parity]" in said
    assert "trainable keras" in said
    assert f"first diverging operator '{CULPRIT}/Conv'" in said
    assert not out.exists()
    repro = tmp_path / "run-repro"
    assert str(repro) in said
    assert [p.name for p in tmp_path.iterdir()] == [repro.name]


@pytest.mark.usefixtures("one_kernel_off")
def test_reproduction_holds_the_layer_alone(tmp_path):
    assert outcome([*ARGUMENTS, "--out", str(tmp_path / "run")]) == 2
    repro = tmp_path / "run-repro"
    model = frameworks.onnx().load(str(repro / "model.onnx"))
    assert [node.name for node in model.graph.node] == [f"{CULPRIT}/Conv"]
    with np.load(repro / "inputs.npz") as inputs, np.load(repro / "outputs.npz") as outputs:
        session = frameworks.load("onnxruntime").InferenceSession(str(repro / "model.onnx"))
        (again,) = session.run(None, dict(inputs))
        np.testing.assert_allclose(again, outputs["expected"], atol=1e-5)


@pytest.mark.usefixtures("one_kernel_off")
def test_earlier_run_survives_the_failure(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    assert outcome([*ARGUMENTS, "--out", str(out)]) == 2
    assert (out / "manifest.json").read_text() == "{}"
