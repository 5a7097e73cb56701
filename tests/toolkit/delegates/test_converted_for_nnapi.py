"""What the converter writes for NNAPI alone: taken whole where it would be refused, and still what torch computes."""

from __future__ import annotations

import pytest

from converters.parity import compare
from converters.tflite_graph.run import tflite_runner
from tests.converters.chain import build
from toolkit.delegates.place import place


@pytest.mark.parametrize("case_id", ["conv1d_grouped", "conv2d_grouped"])
def test_grouped_convolutions_are_taken_whole_when_converted_for_nnapi(case_id):
    chain = build(case_id, accelerator="nnapi")
    content = chain.tflite()
    inputs = chain.case.inputs(7)
    found = compare(chain.reference(inputs), tflite_runner(content, chain.relayered.interface)(inputs))
    assert found.worst_snr_db > 100 and place(content, "p", "nnapi").fully_delegated


def test_without_asking_for_nnapi_they_are_refused():
    placed = place(build("conv1d_grouped").tflite(), "p", "nnapi")
    (refused,) = [op for op in placed.ops if not op.accepted]
    assert refused.op == "CONV_2D" and "version 6" in refused.reason
