"""What every zoo module has to survive: onnx2tf's Keras, the re-layered Keras, TFLite; all against torch."""

from __future__ import annotations

from converters.keras_graph.run import keras_runner
from converters.parity import compare
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.converters.chain import build

MIN_SNR_DB = 100.0
# Versions the NNAPI delegate accepts at most; grouped convolutions are version 6, which it refuses.
MAX_VERSIONS = {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 5, "FULLY_CONNECTED": 5, "TRANSPOSE_CONV": 4, "MUL": 2, "ADD": 2}


def check_every_hop(case_id: str) -> None:
    """Converts a zoo module and compares the later stages with torch."""
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
        if op.kind != "CONV_2D" or graph.tensors[op.inputs[0]].shape[3] == graph.tensors[op.inputs[1]].shape[3]:
            assert op.version <= MAX_VERSIONS.get(op.kind, 9), (op.kind, op.version)
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            assert len(op.inputs) == 3
            assert graph.tensors[op.inputs[2]].is_constant
