"""The report: pairing, means, worst, and judges that hear damage."""

import importlib.util
import math

import numpy as np
import pytest

from toolkit.data import load_manifest
from toolkit.data.audio import read_wave
from toolkit.errors import DataError
from toolkit.quality import evaluate

RATE_HZ = 24000

# Not importorskip: importing it needs the torchaudio stand-in.
needs_distillmos = pytest.mark.skipif(
    importlib.util.find_spec("distillmos") is None, reason="distillmos is not installed"
)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    manifest = load_manifest()
    return [read_wave(manifest.clip_path(clip))[0] for clip in manifest.clips[:2]]


def damaged(wave: np.ndarray, amount: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(wave))
    return (wave + amount * noise).astype(np.float32)


def test_means_and_worst_of_each_metric(clips: list[np.ndarray]) -> None:
    candidates = [damaged(clips[0], 0.001), damaged(clips[1], 0.02)]
    report = evaluate(clips, candidates, RATE_HZ, names=["a", "b"], with_speaker=False, with_mos=False)
    a, b = report.utterances
    assert report.worst_utterance["snr_db"] == report.worst_utterance["log_mel_l1"] == "b"
    assert report.worst["snr_db"] == b.snr_db < a.snr_db
    assert report.means["snr_db"] == pytest.approx((a.snr_db + b.snr_db) / 2)
    assert report.means["mcd_db"] > 0 and a.seconds == pytest.approx(len(clips[0]) / RATE_HZ)
    assert "mos_drop" not in report.means and a.mos_drop is None


def test_a_wave_against_itself(clips: list[np.ndarray]) -> None:
    report = evaluate(clips, clips, RATE_HZ, with_speaker=False, with_mos=False)
    assert report.means["snr_db"] == math.inf and report.worst["max_abs"] == 0.0


def test_the_speaker_judge_hears_another_speaker(clips: list[np.ndarray]) -> None:
    pytest.importorskip("resemblyzer")
    higher = [np.interp(np.arange(0, len(w), 1.35), np.arange(len(w)), w).astype(np.float32) for w in clips[:1]]
    originals = [clips[0][: len(higher[0])]]
    same = evaluate(originals, [damaged(w, 1e-4) for w in originals], RATE_HZ, with_mos=False)
    other = evaluate(originals, higher, RATE_HZ, with_mos=False)
    assert same.worst["speaker_cosine"] > 0.99
    assert other.means["speaker_cosine"] < 0.85


@needs_distillmos
def test_the_opinion_judge_hears_noise(clips: list[np.ndarray]) -> None:
    report = evaluate(clips[:1], [damaged(clips[0], 0.02)], RATE_HZ, with_speaker=False)
    (utterance,) = report.utterances
    assert utterance.mos_reference > 4.2
    assert report.worst["mos_drop"] == utterance.mos_drop > 0.5


@needs_distillmos
def test_silence_and_long_utterances_are_judged() -> None:
    pytest.importorskip("resemblyzer")
    noise = damaged(np.zeros(9 * 16000, dtype=np.float32), 0.01)
    report = evaluate([noise], [np.zeros_like(noise)], 16000)
    assert 1.0 <= report.means["mos_candidate"] <= 5.0 and report.means["speaker_cosine"] == 0.0


@pytest.mark.parametrize(
    ("references", "candidates", "code"),
    [
        ([], [], "quality/not-paired"),
        ([np.ones(9)], [], "quality/not-paired"),
        ([np.ones(9)], [np.ones(8)], "quality/not-paired"),
        ([np.ones((1, 9))], [np.ones((1, 9))], "quality/not-paired"),
        ([np.ones(9)], [np.full(9, np.nan)], "quality/not-finite"),
    ],
)
def test_waves_that_cannot_be_compared(references: list, candidates: list, code: str) -> None:
    with pytest.raises(DataError) as caught:
        evaluate(references, candidates, RATE_HZ, with_speaker=False, with_mos=False)
    assert caught.value.code == code
