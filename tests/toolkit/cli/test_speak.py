"""``toolkit speak`` with a GPT-SoVITS bundle, the graphs played by numpy; and that VITS bundles are still known."""

import wave
from pathlib import Path

import numpy as np
import pytest

from tests.toolkit.engine.toy_model import HOP, RATE, ToyFile, toy_bundle, toy_voice
from toolkit.cli.app import outcome
from toolkit.engine import loading
from toolkit.voices.database import VoiceDatabase


@pytest.fixture
def spoken(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "LiteFile", lambda path, *, threads, delegate: ToyFile())
    monkeypatch.setattr(loading, "CompiledFile", lambda path, *, threads: ToyFile())
    toy_bundle(tmp_path / "run" / "bundle")
    with VoiceDatabase(tmp_path / "v.sqlite3", create=True) as voices:
        voices.add("anna", toy_voice(), consent="yes", sources={})

    def run(*arguments: object, user: str = "anna", bundle: Path | None = None) -> int:
        return outcome(
            ["speak", str(bundle or tmp_path / "run"), "--database", str(tmp_path / "v.sqlite3"), "--user", user,
             "-o", str(tmp_path / "out.wav"), *map(str, arguments)]
        )  # fmt: skip

    return run


def _samples(path: Path) -> np.ndarray:
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_phones_become_a_wave_file_with_its_figures(tmp_path, spoken, capsys):
    assert spoken("--phones", "1 2 3 4 5 6 | 7 8 9 10 11 12") == 0
    printed = capsys.readouterr().out
    assert "real-time factor" in printed and "first audio after" in printed
    first = _samples(tmp_path / "out.wav")
    pause = int(0.3 * RATE)
    assert (len(first) - 2 * pause) % (2 * HOP) == 0
    assert not first[-pause:].any()
    assert spoken("--phones", "1 2 3 4 5 6 | 7 8 9 10 11 12") == 0
    np.testing.assert_array_equal(first, _samples(tmp_path / "out.wav"))
    assert not list(tmp_path.glob(".out.wav*"))


def test_speed_makes_the_same_sentence_shorter(tmp_path, spoken):
    lengths = []
    for speed in ("1", "1.25"):
        assert spoken("--phones", "1 2 3 4 5 6", "--speed", speed) == 0
        lengths.append((len(_samples(tmp_path / "out.wav")) - int(0.3 * RATE)) // HOP)
    assert lengths[1] == int(lengths[0] / 1.25) + 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--phones", "1 2 99"], "text/unknown-phone"),
        (["--phones", "1 2 3 | " + "1 " * 99], "engine/too-long"),
        (["--phones", "1", "--text", "a"], "input/unusable"),
        ([], "input/unusable"),
        (["--text", "hello", "--language", "ko"], "text/no-front-end"),
        (["--text", "hello", "--cut", "cut9"], "engine/bad-setting"),
        (["--text", "...", "--language", "en"], "engine/nothing-to-say"),
        (["--phonemes", "a", "--phones", "1"], "usage/invalid"),
        (["--phones", "1 2 3", "--deadline", "0"], "usage/invalid"),
        (["--phones", "1 2 3", "--speed", "2"], "engine/bad-setting"),
        (["--phones", "1 2 3", "--speed", "nan"], "engine/bad-setting"),
        (["--phones", "1 2 3", "--memory-mb", "1"], "engine/memory-bound"),
    ],
)
def test_what_cannot_be_said_is_one_error_and_leaves_no_file(tmp_path, spoken, capsys, arguments, code, monkeypatch):
    if code == "engine/memory-bound":
        ballast = []

        def heavy(path, *, threads):
            ballast.append(np.ones(64 << 20, np.uint8))
            return ToyFile()

        monkeypatch.setattr(loading, "CompiledFile", heavy)
    assert spoken(*arguments) == 2
    assert f"error[{code}]" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.wav")) and not list(tmp_path.glob(".out*"))


def test_unknown_user_and_no_user_are_one_error(spoken, capsys):
    assert spoken("--phones", "1 2 3", user="ben") == 2
    assert "error[voices/unknown]" in capsys.readouterr().err
    assert spoken("--phones", "1 2 3", user="") == 2
    assert "speaks as a user" in capsys.readouterr().err


def test_folder_without_engine_is_taken_for_a_vits_bundle(tmp_path, spoken, capsys):
    (tmp_path / "vits").mkdir()
    assert spoken("--phones", "1", bundle=tmp_path / "vits") == 2
    assert "does nothing for a VITS voice" in capsys.readouterr().err
    assert outcome(["speak", str(tmp_path / "vits"), "--phonemes", "a", "--speed", "1.5"]) == 2
    assert "--speed does nothing for a VITS voice" in capsys.readouterr().err
    assert outcome(["speak", str(tmp_path / "vits"), "--phonemes", "a"]) == 2
    assert "error[input/bundle]" in capsys.readouterr().err
