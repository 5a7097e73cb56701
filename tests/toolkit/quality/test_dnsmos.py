"""The second judge hears noise, too."""

import numpy as np
import pytest

from toolkit.data import load_manifest
from toolkit.data.audio import read_wave
from toolkit.quality.dnsmos import overall_opinion


def test_noise_costs_opinion():
    pytest.importorskip("speechmos")
    manifest = load_manifest()
    wave, rate_hz = read_wave(manifest.clip_path(manifest.clips[0]))
    noisy = wave + 0.03 * np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32)
    clean = overall_opinion(wave, rate_hz)
    assert 2.5 < clean < 5.0 and overall_opinion(noisy, rate_hz) < clean - 0.3
