"""Pitch error is what was put in, and noise has no pitch."""

import numpy as np
import pytest

from toolkit.quality import pitch as judge
from toolkit.quality.pitch import pitch

RATE_HZ = 22050


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    """A buzz with ten harmonics."""
    time = np.arange(int(RATE_HZ * seconds)) / RATE_HZ
    return sum(np.sin(2 * np.pi * hz * n * time) / n for n in range(1, 11)).astype(np.float32) / 4


def pitch_difference(first: np.ndarray, second: np.ndarray) -> judge.PitchDifference:
    return judge.pitch_difference(pitch(first, RATE_HZ), pitch(second, RATE_HZ))


def test_the_pitch_of_a_buzz_is_found():
    assert np.nanmedian(pitch(tone(150.0), RATE_HZ)) == pytest.approx(150.0, rel=0.01)


def test_a_semitone_is_a_hundred_cents_and_nothing_is_nothing():
    moved = pitch_difference(tone(150.0), tone(150.0 * 2 ** (1 / 12)))
    assert moved.rmse_cents == pytest.approx(100.0, abs=6.0) and moved.voicing_error_ratio < 0.1
    assert pitch_difference(tone(150.0), tone(150.0)).rmse_cents == 0.0


def test_a_voice_that_became_noise_is_a_voicing_error():
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    found = pitch_difference(tone(150.0), noise)
    assert found.voicing_error_ratio > 0.4
    short = pitch_difference(tone(150.0)[:100], noise[:100])
    assert short.rmse_cents is None
