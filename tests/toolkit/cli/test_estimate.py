"""``toolkit estimate``, as a user runs it."""

import json

import pytest

from tests.toolkit.delegates.gpu_sweep.case import int16, of
from tests.toolkit.delegates.small_graphs import convert, weights
from toolkit.cli.app import outcome
from toolkit.pipeline.manifest import RECIPE_FILE
from toolkit.recipe import load as recipes
from toolkit.recipe.load import load

KERNEL = weights(3, 3, 8, 8)


@pytest.fixture
def model(tmp_path):
    def conv(x):
        import tensorflow as tf

        return tf.nn.conv2d(x, KERNEL, 1, "SAME")

    path = tmp_path / "conv.tflite"
    path.write_bytes(convert(conv, (1, 16, 16, 8)))
    return path


def test_estimate_prints_device_unit_and_errors(model, capfd):
    assert outcome(["estimate", str(model), "--device", "snapdragon-8-gen-3"]) == 0
    shown = capfd.readouterr().out
    assert "estimated for Qualcomm Snapdragon 8 Gen 3" in shown
    assert "left out" in shown and "nothing was run on the device" in shown


def test_estimate_as_json(model, capfd):
    assert outcome(["estimate", str(model), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["total"]["estimated"] is True
    assert found["parts"][0]["runs"] == 1


def test_a_file_beside_a_runs_recipe_is_placed_by_the_runs_delegate(model, capfd):
    """LiteRT's NNAPI delegate takes no 16-bit activations; Snapdragon's compiler does."""
    wide = of("MAXIMUM", int16(1, 64, 64, 64), int16(1, 64, 64, 64), version=4)
    model.write_bytes(wide.write())

    def unit() -> str:
        assert outcome(["estimate", str(model), "--json"]) == 0
        return json.loads(capfd.readouterr().out)["total"]["unit"]

    assert unit() == "CPU"
    run = model.parent / RECIPE_FILE
    run.write_text(recipes.dump(load("vits-voice-npu", ("delegate.name=qnn",))))
    assert unit() == "NPU"
    run.write_text(recipes.dump(load("vits-voice-npu")))
    assert unit() == "CPU"


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--device", "toaster"], "device/unknown"), (["--android", "x"], "delegate/")]
)
def test_estimate_refuses_bad_input(model, capfd, arguments, code):
    assert outcome(["estimate", str(model), *arguments]) == 2
    assert code in capfd.readouterr().err


def test_estimate_refuses_what_is_no_model(tmp_path, capfd):
    (tmp_path / "x.tflite").write_bytes(b"no model")
    assert outcome(["estimate", str(tmp_path / "x.tflite")]) == 2
    assert outcome(["estimate", str(tmp_path / "absent.tflite")]) == 2
    assert capfd.readouterr().err.count("error[input/") == 2
