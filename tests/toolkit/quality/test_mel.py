"""Mel distances: a flat gain is a known log distance and no cepstral one; a filter is seen by both."""

import numpy as np
import pytest

from toolkit.quality import mel

RATE_HZ = 22050


@pytest.fixture
def wave() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.float32)


def test_a_gain_moves_the_log_mel_by_its_logarithm(wave: np.ndarray) -> None:
    assert mel.log_mel_l1(wave, 2 * wave, RATE_HZ) == pytest.approx(np.log(2), abs=1e-3)
    assert mel.mel_cepstral_distortion_db(wave, 2 * wave, RATE_HZ) < 1e-3


def test_a_filter_is_heard(wave: np.ndarray) -> None:
    dull = np.convolve(wave, np.ones(8) / 8, mode="same").astype(np.float32)
    slightly = (0.9 * wave + 0.1 * dull).astype(np.float32)
    distances = [mel.mel_cepstral_distortion_db(wave, other, RATE_HZ) for other in (wave, slightly, dull)]
    assert distances[0] == 0.0 and distances[0] < distances[1] < distances[2]


def test_the_difference_to_draw(wave: np.ndarray) -> None:
    drawn = mel.mel_difference(wave, 10 * wave, RATE_HZ)
    assert drawn.difference_db.shape == drawn.reference_db.shape == (80, 1 + RATE_HZ // mel.HOP)
    assert np.median(drawn.difference_db) == pytest.approx(20.0, abs=0.01)
    assert drawn.centre_hz.shape == (80,) and (np.diff(drawn.centre_hz) > 0).all()


def test_a_wave_shorter_than_a_window_counts() -> None:
    assert np.isfinite(mel.log_mel(np.ones(10, dtype=np.float32), RATE_HZ)).all()
