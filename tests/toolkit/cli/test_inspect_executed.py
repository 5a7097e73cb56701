"""``toolkit inspect --delegate gpu --execute`` from the outside: computed, only placed, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.toolkit.delegates.small_graphs import convert, weights
from toolkit.cli import inspect as command
from toolkit.cli.app import outcome
from toolkit.delegates import software_gpu

needs_gpu = pytest.mark.skipif(
    software_gpu.software_driver() is None,
    reason="no software Vulkan driver or no loader for it (Debian: chromium-common and libvulkan1)",
)
EXECUTE = ("--delegate", "gpu", "--execute")


@pytest.fixture
def small(tmp_path) -> Path:
    import tensorflow as tf

    path = tmp_path / "small.tflite"
    path.write_bytes(convert(lambda x: tf.tanh(tf.nn.conv2d(x, weights(1, 3, 8, 8), 1, "SAME")), (1, 1, 7, 8)))
    return path


@needs_gpu
def test_a_computed_file_has_its_level_and_its_float16(small, capfd):
    assert outcome(["inspect", str(small), *EXECUTE]) == 0
    said = capfd.readouterr()
    assert "dB against the reference kernels" in said.out and "weakest operator" in said.out
    assert "dB against float32" in said.out and "min" not in said.err


@needs_gpu
def test_a_placed_file_has_its_operators_and_no_level(small, capfd):
    assert outcome(["inspect", str(small), *EXECUTE, "--no-compute"]) == 0
    said = capfd.readouterr().out
    assert "2 operators on the GPU; placed, not computed" in said and "reference kernels" not in said
    assert outcome(["inspect", str(small), *EXECUTE, "--no-compute", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)["executed"]
    assert found["accepted"] and found["snr_db"] == {} and found["judgement"] == ""


@needs_gpu
def test_who_waits_long_is_told_how_long(small, capfd, monkeypatch):
    monkeypatch.setattr(command, "_SHORT_MINUTES", 0)
    assert outcome(["inspect", str(small), *EXECUTE]) == 0
    assert "multiply-adds in software: about 1 min" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words", [("--no-compute",), ("--delegate", "gpu", "--no-compute"), (*EXECUTE, "--no-compute", "--inputs", "x.npz")]
)
def test_options_that_would_do_nothing_are_refused(words, tmp_path, capfd):
    assert outcome(["inspect", str(tmp_path / "any.tflite"), *words]) == 2
    assert "--no-compute" in capfd.readouterr().err
