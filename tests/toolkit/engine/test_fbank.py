"""Energies equal to Kaldi's (torchaudio.compliance.kaldi 2.11, whose code upstream carries), frozen."""

from pathlib import Path

import numpy as np
import pytest

from toolkit.engine import fbank


@pytest.fixture(scope="module")
def vectors():
    with np.load(Path(__file__).parent / "vectors" / "fbank.npz") as file:
        return dict(file)


def test_energies_are_those_of_kaldi(vectors):
    found = fbank.log_mel_energies(vectors["sound"])
    assert found.shape == vectors["energies"].shape
    assert np.abs(found - vectors["energies"]).max() < 1e-3


@pytest.mark.parametrize(("name", "value"), [("_PREEMPHASIS", 0.0), ("_window", lambda: np.hanning(400))])
def test_another_window_or_no_preemphasis_is_seen(vectors, monkeypatch, name, value):
    monkeypatch.setattr(fbank, name, value)
    assert np.abs(fbank.log_mel_energies(vectors["sound"]) - vectors["energies"]).max() > 0.05


def test_sound_shorter_than_a_frame_is_refused():
    with pytest.raises(ValueError, match="fewer"):
        fbank.log_mel_energies(np.zeros(399, np.float32))
