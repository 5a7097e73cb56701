"""Weights that go around TensorFlow's converter: the file is the one it writes when it knows them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from converters.keras_to_tflite import TfliteOptions, to_tflite
from converters.parity import compare
from converters.tflite_graph import bind_weights as binding
from converters.tflite_graph.flatbuffer import load
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.converters.chain import Chain, build

NEVER = 1 << 40
# A decoder (convolutions, transposed ones), attention with its scale, normalisation before linear layers, a table.
CASES = ("vits_decoder", "vits_encoder", "sdpa_block", "conv_transpose1d_k11s5p3", "embedding_lookup")


def _kinds(content: bytes) -> Counter[str]:
    return Counter(op.kind for op in read_tflite(content).ops)


def _agreement(chain: Chain, content: bytes) -> float:
    inputs = chain.case.inputs(0)
    report = compare(chain.reference(inputs), tflite_runner(content, chain.relayered.interface)(inputs))
    return report.worst_snr_db


@pytest.mark.parametrize("name", CASES)
def test_file_has_the_operators_it_has_with_constants(name: str) -> None:
    chain = build(name)
    model, interface = chain.relayered.model, chain.relayered.interface
    around = to_tflite(model, interface, TfliteOptions(min_input_bytes=0))
    through = to_tflite(model, interface, TfliteOptions(min_input_bytes=NEVER))
    assert _kinds(around) == _kinds(through)
    assert [t.name for t in interface.spec.inputs] == list(read_tflite(around).signatures[0].inputs)
    assert _agreement(chain, around) > 90


def test_converter_never_sees_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, seen = build("vits_decoder"), []

    def spy(model: object, values: dict[str, np.ndarray]) -> frozenset[str]:
        seen.append((sum(len(b.data) for b in model.buffers if b.data is not None), values))
        return binding.bind_weights(model, values)

    monkeypatch.setattr("converters.keras_to_tflite.bind_weights", spy)
    content = to_tflite(chain.relayered.model, chain.relayered.interface, TfliteOptions(min_input_bytes=0))
    ((unbound_bytes, values),) = seen
    weights_bytes = sum(value.nbytes for value in values.values())
    stored = sum(len(b.data) for b in load(content).buffers if b.data is not None)
    assert stored > unbound_bytes + 0.9 * weights_bytes


def test_layers_have_their_weights_back() -> None:
    chain = build("vits_decoder")
    before = [weight.numpy() for weight in chain.relayered.model.weights]
    to_tflite(chain.relayered.model, chain.relayered.interface, TfliteOptions(min_input_bytes=0))
    for weight, value in zip(chain.relayered.model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_wrong_fold_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = build("vits_decoder")
    transpose = binding._FOLDS[binding._OPERATOR.TRANSPOSE]
    monkeypatch.setitem(
        binding._FOLDS, binding._OPERATOR.TRANSPOSE, lambda operator, operands: transpose(operator, operands)[::-1]
    )
    content = to_tflite(chain.relayered.model, chain.relayered.interface, TfliteOptions(min_input_bytes=0))
    assert _agreement(chain, content) < 20


@pytest.mark.parametrize("missing", ["TRANSPOSE", "MUL"])
def test_weights_without_a_rule_stay_constants(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    chain = build("sdpa_block")
    monkeypatch.delitem(binding._FOLDS, getattr(binding._OPERATOR, missing))
    content = to_tflite(chain.relayered.model, chain.relayered.interface, TfliteOptions(min_input_bytes=0))
    through = to_tflite(chain.relayered.model, chain.relayered.interface, TfliteOptions(min_input_bytes=NEVER))
    assert _kinds(content) == _kinds(through)
    assert _agreement(chain, content) > 90
