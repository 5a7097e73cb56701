"""Every zoo module goes through all hops: onnx2tf's Keras, the re-layered Keras, TFLite; all against torch."""

from __future__ import annotations

import pytest

from converters.keras_graph.run import keras_runner
from converters.parity import compare
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.converters.chain import build
from tests.model_zoo import CASES, VITS

MIN_SNR_DB = 100.0
# Versions the NNAPI delegate accepts at most.
MAX_VERSIONS = {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 5, "FULLY_CONNECTED": 5, "TRANSPOSE_CONV": 4, "MUL": 2, "ADD": 2}
SLOW = {"vits_flow", "vits_flow_odd", "vits_encoder_short", "lstm_two_layers_both_ways", "vits_decoder_k16s8"}


@pytest.mark.parametrize(
    "case_id", [pytest.param(c.id, marks=pytest.mark.slow) if c.id in SLOW else c.id for c in CASES]
)
def test_module_survives_every_hop(case_id: str) -> None:
    chain = build(case_id)
    inputs = chain.case.inputs(7)
    expected = chain.reference(inputs)

    relayered = compare(expected, keras_runner(chain.relayered.model, chain.relayered.interface)(inputs))
    assert relayered.worst_snr_db >= MIN_SNR_DB

    content = chain.tflite()
    tflite = compare(expected, tflite_runner(content, chain.relayered.interface)(inputs))
    assert tflite.worst_snr_db >= MIN_SNR_DB

    graph = read_tflite(content)
    assert not any(op.kind == "CUSTOM" for op in graph.ops)
    assert not any(tensor.dtype == "INT64" for tensor in graph.tensors)
    for op in graph.ops:
        assert op.version <= MAX_VERSIONS.get(op.kind, 9), (op.kind, op.version)
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            assert len(op.inputs) == 3
            assert graph.tensors[op.inputs[2]].is_constant


@pytest.mark.parametrize("case_id", [c.id for c in VITS if "encoder" not in c.id])
def test_no_data_movement_is_left_in_signals(case_id: str) -> None:
    if case_id in ("vits_attention", "vits_flow_odd"):
        pytest.skip("moves data by nature: heads, and a flip that stays at the output")
    layers = build(case_id).relayered.model.layers
    assert not [layer.name for layer in layers if type(layer).__name__ in ("Permute", "Reshape", "Reorder")]
