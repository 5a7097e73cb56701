"""What a sentence costs on a device: which graphs of a bundle run, and how often."""

import pytest

from tests.toolkit.engine.toy_model import toy_bundle
from toolkit.estimate.devices import find_device
from toolkit.pipeline import device_latency
from toolkit.results import LatencyEstimate

SEVEN = find_device("snapdragon-7-gen-3")


def _estimate(ms):
    return LatencyEstimate(
        part="x", device="d", unit="CPU", unit_ms={"CPU": ms}, ms=ms, low_ms=ms, high_ms=ms, median_error=0.1, how="toy"
    )


@pytest.fixture
def asked(monkeypatch):
    """Graphs that were estimated, each at one millisecond."""
    names = []

    def estimate(path, part, device, target, **more):
        names.append(part)
        return _estimate(1.0).model_copy(update={"part": part})

    monkeypatch.setattr(device_latency, "estimate_file", estimate)
    return names


def test_a_sentence_is_a_prefill_a_step_a_code_and_the_vocoder_in_chunks(tmp_path, asked):
    toy_bundle(tmp_path)
    found = device_latency.estimate_path(tmp_path, SEVEN, "xnnpack", 30, seconds=1.0)
    runs = dict(zip(asked, found.runs, strict=True))
    assert runs["t2s_step_160"] == 24  # 25 codes; the prefill gives the first
    assert next(name for name in runs if name.startswith("t2s_prefill")) and runs["flow_64"] == 1
    vocoder = next(name for name in runs if name.startswith("vocoder_stream"))
    assert runs[vocoder] > 1
    assert found.total.ms == pytest.approx(sum(found.runs))
    assert found.total.audio_seconds == pytest.approx(1.0)
    assert any("cache of 160 rows is the longest" in note for note in found.total.notes)


def test_a_sentence_is_no_longer_than_the_longest_bucket(tmp_path, asked):
    toy_bundle(tmp_path)
    found = device_latency.estimate_path(tmp_path, SEVEN, "xnnpack", 30, seconds=60.0)
    assert found.total.audio_seconds == pytest.approx(64 / 25)
