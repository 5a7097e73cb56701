"""What the converter writes for GPUs: taken whole, right where it is executed, and still what torch computes."""

from __future__ import annotations

import pytest

from converters.parity import compare
from converters.tflite_graph.run import tflite_runner
from tests.converters.chain import build
from toolkit.delegates import software_gpu
from toolkit.delegates.place import place
from toolkit.delegates.software_gpu import execute_on_gpu

KNOWN_WRONG_OR_REFUSED = ("conv1d_grouped", "conv2d_grouped", "pad_constant", "embedding_lookup")
"""Models of the zoo that, converted for no accelerator in particular, the executed GPU computes wrong or refuses."""


@pytest.mark.parametrize("case_id", KNOWN_WRONG_OR_REFUSED)
def test_a_model_the_gpu_would_spoil_is_right_when_converted_for_it(case_id, tmp_path):
    chain = build(case_id, accelerator="gpu")
    content = chain.tflite()
    inputs = chain.case.inputs(7)
    assert (
        compare(chain.reference(inputs), tflite_runner(content, chain.relayered.interface)(inputs)).worst_snr_db > 100
    )
    placed = place(content, "p", "gpu_litert")
    assert placed.fully_delegated and not placed.wrong_results
    if software_gpu.software_driver() is None:
        pytest.skip("converted and placed; not executed, no software GPU (Debian: chromium-common and libvulkan1)")
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    found = execute_on_gpu(path)
    assert found.accepted and found.judgement == "right", found


def test_without_asking_for_a_gpu_the_grouped_one_is_warned_of():
    assert place(build("conv1d_grouped").tflite(), "p", "gpu_litert").wrong_results
