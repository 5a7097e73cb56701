"""Enrolment from a recording: the d-vector, what makes the rest, and what is refused before any work."""

from typing import ClassVar

import numpy as np
import pytest

from converters.errors import ExtraMissing
from tests.toolkit.voices.made_voices import made_arrays
from toolkit.cli.app import outcome
from toolkit.data.audio import write_wave
from toolkit.errors import VoiceError
from toolkit.pipeline.enrolment import enrol_recording
from toolkit.quality import speaker
from toolkit.voices.database import VoiceDatabase
from toolkit.voices.feature_file import write_features
from toolkit.voices.features import checked_features

RATE = 16000


class _Maker:
    model_sha256 = "c" * 64
    sources: ClassVar[dict[str, str]] = {"hubert.pt": "d" * 64}
    absent: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.heard: list[tuple[int, int, str, str]] = []

    def __call__(self, wave, sample_rate_hz, text, language):
        self.heard.append((len(wave), sample_rate_hz, text, language))
        return {name: array for name, array in made_arrays().items() if name != "d_vector"}


def _recording(path, seconds: float, level: float = 0.1):
    wave = np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32) * level
    write_wave(path, wave, RATE)
    return path


def test_recording_is_enrolled_with_its_d_vector(tmp_path):
    pytest.importorskip("resemblyzer")
    make, audio = _Maker(), _recording(tmp_path / "ref.wav", 3.5)
    arguments = {"text": "hello", "language": "en", "consent": "yes"}
    assert enrol_recording(tmp_path / "v.sqlite3", "anna", audio, make, **arguments) == "added"
    assert enrol_recording(tmp_path / "v.sqlite3", "anna", audio, make, **arguments) == "unchanged"
    assert make.heard[0] == (int(3.5 * RATE), RATE, "hello", "en")
    with VoiceDatabase(tmp_path / "v.sqlite3") as voices:
        features, shown = voices.read("anna"), voices.show("anna")
    assert np.linalg.norm(features.arrays["d_vector"]) == pytest.approx(1.0, abs=1e-3)
    assert shown.model_sha256 == "c" * 64
    assert list(shown.provenance["sources"]) == ["hubert.pt", "ref.wav"]
    assert "absent" not in shown.provenance


def test_recording_is_enrolled_without_resemblyzer_and_says_so(tmp_path, monkeypatch):
    def missing(wave, rate):
        raise ExtraMissing("resemblyzer is not installed", code="environment/quality-missing")

    monkeypatch.setattr(speaker, "speaker_vector", missing)
    audio = _recording(tmp_path / "ref.wav", 3.5)
    arguments = {"text": "hello", "language": "en", "consent": "yes"}
    assert enrol_recording(tmp_path / "v.sqlite3", "anna", audio, _Maker(), **arguments) == "added"
    with VoiceDatabase(tmp_path / "v.sqlite3") as voices:
        assert "d_vector" not in voices.read("anna").arrays
        assert voices.show("anna").provenance["absent"] == {"d_vector": "resemblyzer is not installed"}


@pytest.mark.parametrize(
    ("seconds", "level", "code"),
    [(2.9, 0.1, "voices/bad-recording"), (10.1, 0.1, "voices/bad-recording"), (4.0, 0.0, "voices/bad-recording")],
)
def test_recording_that_is_no_reference_is_refused_before_any_work(tmp_path, seconds, level, code):
    make = _Maker()
    with pytest.raises(VoiceError) as caught:
        enrol_recording(
            tmp_path / "v.sqlite3", "anna", _recording(tmp_path / "ref.wav", seconds, level), make,
            text="hello", language="en", consent="yes",
        )  # fmt: skip
    assert caught.value.code == code
    assert make.heard == []
    assert not (tmp_path / "v.sqlite3").exists()


def test_no_consent_is_refused_before_any_work(tmp_path):
    make = _Maker()
    with pytest.raises(VoiceError) as caught:
        enrol_recording(tmp_path / "v", "anna", tmp_path / "none.wav", make, text="", language="en", consent=" ")
    assert caught.value.code == "voices/no-consent"


def test_features_without_d_vector_get_it_from_the_recording(tmp_path):
    pytest.importorskip("resemblyzer")
    bare = {name: array for name, array in made_arrays().items() if name != "d_vector"}
    write_features(tmp_path / "anna.npz", checked_features(bare, "en"), {})
    database = tmp_path / "v.sqlite3"
    assert outcome(
        ["voices", "add", "anna", "--features", str(tmp_path / "anna.npz"), "--consent", "yes", "--audio",
         str(_recording(tmp_path / "ref.wav", 3.5)), "--database", str(database)]
    ) == 0  # fmt: skip
    with VoiceDatabase(database) as voices:
        assert voices.read("anna").arrays["d_vector"].shape == (256,)
        assert sorted(voices.show("anna").provenance["sources"]) == ["anna.npz", "ref.wav"]
