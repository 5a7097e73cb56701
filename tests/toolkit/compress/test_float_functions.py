"""A tanh, sigmoid or softmax that is to be float computes in float, though an 8-bit layer stands before it."""

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
from toolkit.errors import AuditError
from toolkit.recipe.schema import Compression, PrecisionPolicy, PrecisionRule

GENERATOR = np.random.default_rng(4)
CALIBRATION = [{"mel": GENERATOR.standard_normal((1, CHANNELS, FRAMES)).astype(np.float32)} for _ in range(4)]
PLAIN = Compression(equalise=False)
KINDS = {"tanh": "TANH", "sigmoid": "LOGISTIC", "softmax": "SOFTMAX"}


def _policy(*int8: str) -> PrecisionPolicy:
    rules = tuple(PrecisionRule(match=match, use="int8", because="chosen by the test") for match in int8)
    return PrecisionPolicy(default="float32", rules=rules)


def _kinds(made) -> list[str]:
    return [op.kind for op in read_tflite(made.tflite).ops]


@pytest.mark.parametrize("squash", KINDS)
@pytest.mark.parametrize("place", ["none", "last", "inside"])
def test_it_reads_floats_and_gives_floats(squash, place):
    made = compress_part(squashed_part(squash, place), _policy("enc.conv", "enc.middle"), PLAIN, CALIBRATION)
    assert not made.audit.differences
    kinds = _kinds(made)
    at = kinds.index(KINDS[squash])
    assert kinds[at - 1] == "DEQUANTIZE" and kinds.count("QUANTIZE") == kinds.count("DEQUANTIZE") == 1
    expected = keras_runner(made.relayered.model, made.relayered.interface)(CALIBRATION[0])
    found = tflite_runner(made.tflite, made.relayered.interface)(CALIBRATION[0])
    assert compare(expected, found).worst_snr_db > 25.0


def test_readers_in_8_bits_still_get_them():
    policy = _policy("enc.conv", "enc.middle", "enc.post")
    made = compress_part(squashed_part("tanh", "inside"), policy, PLAIN, CALIBRATION)
    graph = read_tflite(made.tflite)
    at = next(op for op in graph.ops if op.kind == "TANH")
    post = [op for op in graph.ops if op.kind == "CONV_2D"][-1]
    assert not made.audit.differences
    assert [graph.tensors[i].dtype for i in (at.inputs[0], at.outputs[0], post.inputs[0])] == ["FLOAT32"] * 2 + ["INT8"]


def test_what_was_asked_to_be_8_bit_stays(monkeypatch):
    policy = _policy("enc.conv", "enc.middle", "enc")
    made = compress_part(squashed_part("tanh", "last"), policy, PLAIN, CALIBRATION)
    monkeypatch.setattr(compression, "restore_float_functions", lambda content, plan: content)
    assert made.tflite == compress_part(squashed_part("tanh", "last"), policy, PLAIN, CALIBRATION).tflite


def test_without_it_the_audit_stops_the_run(monkeypatch):
    monkeypatch.setattr(compression, "restore_float_functions", lambda content, plan: content)
    with pytest.raises(AuditError, match="TANH"):
        compress_part(squashed_part("tanh", "none"), _policy("enc.conv", "enc.middle"), PLAIN, CALIBRATION)
