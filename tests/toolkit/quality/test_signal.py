"""Waveform distances on signals whose answers are known."""

import math

import numpy as np
import pytest

from toolkit.quality import signal


@pytest.mark.parametrize("wanted", [0.0, 20.0, 60.0])
def test_snr_of_a_known_noise(wanted: float) -> None:
    noise = np.random.default_rng(0)
    wave, dirt = noise.standard_normal((2, 20000))
    dirt *= np.linalg.norm(wave) / np.linalg.norm(dirt) / 10 ** (wanted / 20)
    assert signal.snr_db(wave, wave + dirt) == pytest.approx(wanted, abs=1e-6)


def test_limits() -> None:
    wave = np.sin(np.arange(100.0))
    silence = np.zeros(100)
    assert signal.snr_db(wave, wave) == math.inf and signal.snr_db(silence, wave) == -math.inf
    assert signal.cosine(wave, -wave) == pytest.approx(-1.0) and signal.cosine(wave, silence) == 0.0
    assert signal.cosine(silence, silence) == 1.0
    assert signal.max_abs(wave, wave + np.eye(1, 100, 3)[0] * 0.25) == pytest.approx(0.25)
