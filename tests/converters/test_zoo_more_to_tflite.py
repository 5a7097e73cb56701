"""Blocks people really build reach TFLite with the numbers torch gives."""

from __future__ import annotations

import pytest

from converters.keras_graph.relayer import relayer
from converters.keras_to_tflite import to_tflite
from converters.onnx_graph.pipeline import rewrite
from converters.onnx_to_keras import to_keras
from converters.parity import compare
from converters.tflite_graph.run import tflite_runner
from converters.torch_run import torch_runner
from converters.torch_to_onnx import export
from tests.zoo_more import MORE

FAST = {
    "snake",
    "rotary",
    "attentive_pooling",
    "squeeze_excite",
    "cumulative_sum",
    "assignment",
    "weight_norm",
    "batch3",
}


@pytest.mark.parametrize(
    "case", [c if c.id in FAST else pytest.param(c, marks=pytest.mark.slow) for c in MORE], ids=lambda c: c.id
)
def test_block_reaches_tflite(case):
    module = case.build()
    result = rewrite(export(module, case.spec), case.spec)
    relayered = relayer(to_keras(result.model, result.interface))
    arrays = case.inputs(5)
    found = tflite_runner(to_tflite(relayered.model, relayered.interface), relayered.interface)(arrays)
    assert compare(torch_runner(module, case.spec)(arrays), found).worst_snr_db >= 100.0
