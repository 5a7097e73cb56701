"""The second judge hears noise, too."""

import numpy as np
import pytest

from toolkit.data import load_manifest
from toolkit.data.audio import read_wave
from toolkit.quality.dnsmos import overall_opinion
from toolkit.quality.resample import to_judge_rate


def test_noise_costs_opinion():
    pytest.importorskip("speechmos")
    manifest = load_manifest()
    wave, rate_hz = read_wave(manifest.clip_path(manifest.clips[0]))
    noisy = wave + 0.03 * np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32)
    clean = overall_opinion(wave, rate_hz)
    assert 2.5 < clean < 5.0 and overall_opinion(noisy, rate_hz) < clean - 0.3


def test_it_is_the_packages_own_number():
    package = pytest.importorskip("speechmos.dnsmos")
    manifest = load_manifest()
    wave, rate_hz = read_wave(manifest.clip_path(manifest.clips[1]))
    loud_and_short, longer_than_it_hears = 2 * wave[: rate_hz * 6 // 10], np.tile(wave, 3)[: rate_hz * 11 + 9000]
    for heard in (loud_and_short, longer_than_it_hears):
        theirs = package.run(np.clip(to_judge_rate(heard, rate_hz), -1, 1), 16000, return_df=False)
        assert overall_opinion(heard, rate_hz) == float(theirs["ovrl_mos"])
