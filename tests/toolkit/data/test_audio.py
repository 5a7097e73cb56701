"""Audio files survive a round trip; what is no audio is refused."""

from pathlib import Path

import numpy as np
import pytest

from toolkit.data.audio import read_wave, resample, write_wave
from toolkit.errors import DataError


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    wave = np.sin(np.arange(2205) / 10).astype(np.float32)
    write_wave(tmp_path / f"a{suffix}", wave, 22050)
    read, rate_hz = read_wave(tmp_path / f"a{suffix}")
    assert rate_hz == 22050 and np.abs(read - wave).max() < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def test_too_loud_is_clipped_not_wrapped(tmp_path: Path) -> None:
    write_wave(tmp_path / "a.wav", np.array([2.0, -2.0]), 8000)
    assert np.abs(read_wave(tmp_path / "a.wav")[0]).min() > 0.99


def test_resampling_keeps_a_tone() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050).astype(np.float32)
    wanted = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert np.abs(resample(tone, 22050, 16000) - wanted)[500:-500].max() < 1e-3
    assert np.array_equal(resample(tone, 22050, 22050), tone)


def test_no_audio(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"not audio")
    for name, code in (("a.wav", "data/damaged"), ("b.wav", "data/missing")):
        with pytest.raises(DataError) as caught:
            read_wave(tmp_path / name)
        assert caught.value.code == code
