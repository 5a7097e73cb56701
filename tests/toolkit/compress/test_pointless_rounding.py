"""What is rounded to 8 bits though nothing computes with it becomes float again; what was asked for stays."""

from __future__ import annotations

import numpy as np
import pytest

from converters.keras_graph.run import keras_runner
from converters.parity import compare
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.compress.small_parts import CHANNELS, FRAMES, squashed_part
from toolkit.compress import run as compression
from toolkit.compress.run import compress_part
from toolkit.recipe.schema import Compression, PrecisionPolicy, PrecisionRule

GENERATOR = np.random.default_rng(3)
CALIBRATION = [{"mel": GENERATOR.standard_normal((1, CHANNELS, FRAMES)).astype(np.float32)} for _ in range(4)]


def _policy(**rules: str) -> PrecisionPolicy:
    asked = {"enc.conv": "int8", **rules}
    rules_ = tuple(PrecisionRule(match=match, use=use, because="chosen by the test") for match, use in asked.items())
    return PrecisionPolicy(default="float32", rules=rules_)


def _kinds(made) -> list[str]:
    return [op.kind for op in read_tflite(made.tflite).ops]


def _said(made) -> np.ndarray:
    return tflite_runner(made.tflite, made.relayered.interface)(CALIBRATION[0])["audio"]


def _with_and_without(monkeypatch, part, policy):
    made = compress_part(part, policy, Compression(equalise=False), CALIBRATION)
    monkeypatch.setattr(compression, "without_pointless_rounding", lambda content, plan: content)
    return made, compress_part(part, policy, Compression(equalise=False), CALIBRATION)


@pytest.mark.parametrize("squash", ["tanh", "sigmoid", "softmax"])
@pytest.mark.parametrize("place", ["last", "inside"])
def test_a_fixed_scale_does_not_follow_values_into_float(monkeypatch, squash, place):
    made, before = _with_and_without(monkeypatch, squashed_part(squash, place), _policy())
    assert _kinds(made).count("QUANTIZE") == _kinds(made).count("DEQUANTIZE") == 1, "around the 8-bit convolution"
    assert _kinds(before).count("DEQUANTIZE") == 2, "the converter rounds in vain no more: this step can go"
    assert sorted({*_kinds(before)}) == sorted({*_kinds(made)})
    expected = keras_runner(made.relayered.model, made.relayered.interface)(CALIBRATION[0])
    assert compare(expected, {"audio": _said(made)}).worst_snr_db > 25.0
    found, known = (read_tflite(file.tflite).signatures[0] for file in (made, before))
    assert found.outputs.keys() == known.outputs.keys()
    graph = read_tflite(made.tflite)
    last = {"last": "enc.out/Reshape", "inside": "enc.out/Reshape"}[place]
    assert last in graph.tensors[graph.outputs[0]].name, "an operator is found by the name of what it makes"


def test_the_last_values_of_a_file_are_not_on_a_grid_of_8_bits(monkeypatch):
    made, before = _with_and_without(monkeypatch, squashed_part("tanh", "last"), _policy())
    on_grid = [float(np.mean(np.abs(v * 128.0 - np.round(v * 128.0)) < 1e-4)) for v in (_said(made), _said(before))]
    assert on_grid[0] < 0.1 and on_grid[1] == 1.0
    assert np.abs(_said(made) - _said(before)).max() <= 1.0 / 128.0 + 1e-6  # half a step, a whole one at the upper end


def test_what_was_asked_to_be_8_bit_stays(monkeypatch):
    asked = _policy(**{"enc.in": "int8", "enc.out": "int8"})
    made, before = _with_and_without(monkeypatch, squashed_part("tanh", "last"), asked)
    assert not made.audit.differences
    assert made.tflite == before.tflite and _kinds(made)[-3:] == ["QUANTIZE", "RESHAPE", "DEQUANTIZE"]


def test_nothing_changes_where_nothing_is_rounded_in_vain(monkeypatch):
    made, before = _with_and_without(monkeypatch, squashed_part("tanh", "none"), _policy())
    assert made.tflite == before.tflite
