"""The networks that were measured, against what their papers say of them."""

from dataclasses import dataclass

import pytest

from toolkit.estimate.published import published
from toolkit.estimate.published_models import published_workloads


@dataclass(frozen=True)
class Paper:
    model: str
    millions_of_weights: float
    millions_of_macs: float


PAPERS = [
    Paper("mobilenet_v2", 3.5, 300),
    Paper("mobilenet_v3_small", 2.5, 56),
    Paper("efficientnet_b0", 5.3, 390),
    Paper("resnet18", 11.7, 1814),
    Paper("yamnet", 3.7, 69.2),
]


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.model)
def test_weights_and_multiply_adds_are_the_papers(paper):
    workload = published_workloads()[paper.model]
    assert workload.weights / 1e6 == pytest.approx(paper.millions_of_weights, rel=0.03)
    assert workload.macs / 1e6 == pytest.approx(paper.millions_of_macs, rel=0.03)


def test_transformers_have_their_published_sizes():
    known = {"whisper_tiny/HfWhisperEncoder": 8.2 + 8 * 0.147, "huggingface_wavlm_base_plus": 94.4}
    for model, millions in known.items():
        assert published_workloads()[model].weights / 1e6 == pytest.approx(millions, rel=0.08)


def test_every_measured_network_is_described_and_every_description_is_measured():
    assert {row.model for row in published()} == set(published_workloads())


def test_a_job_listed_under_two_names_counts_once():
    assert len(published()) == 367
    assert sum(row.unit == "NPU" for row in published()) == 345
