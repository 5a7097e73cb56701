"""``toolkit voices`` from the outside: what it prints and how it exits."""

import json
from pathlib import Path

import pytest

from tests.toolkit.voices.made_voices import made_voice
from toolkit.cli.app import outcome
from toolkit.voices.feature_file import read_features, write_features


@pytest.fixture
def features(tmp_path) -> Path:
    write_features(tmp_path / "anna.npz", made_voice(1), {})
    return tmp_path / "anna.npz"


def _voices(tmp_path, *arguments: object) -> int:
    return outcome(["voices", *map(str, arguments), "--database", str(tmp_path / "v.sqlite3")])


def test_add_list_show_export_remove(tmp_path, features, capsys):
    assert _voices(tmp_path, "add", "anna", "--features", features, "--consent", "by herself") == 0
    assert "added" in capsys.readouterr().out
    assert _voices(tmp_path, "add", "anna", "--features", features, "--consent", "by herself") == 0
    assert "unchanged" in capsys.readouterr().out
    assert _voices(tmp_path, "list", "--json") == 0
    assert [voice["user_id"] for voice in json.loads(capsys.readouterr().out)] == ["anna"]
    assert _voices(tmp_path, "show", "anna") == 0
    shown = capsys.readouterr().out
    assert "by herself" in shown and "anna.npz" in shown and "intact" in shown
    assert _voices(tmp_path, "export", "anna", "--out", tmp_path / "out.npz") == 0
    assert read_features(tmp_path / "out.npz")[0].sha256 == made_voice(1).sha256
    # The exported file carries consent and provenance, so it enrols elsewhere by itself.
    assert _voices(tmp_path, "add", "anna", "--features", tmp_path / "out.npz") == 0
    assert _voices(tmp_path, "remove", "anna") == 0
    capsys.readouterr()
    assert _voices(tmp_path, "show", "anna") == 2
    assert "error[voices/unknown]" in capsys.readouterr().err


@pytest.mark.parametrize("hostile", ["../../etc/passwd", "a'; DROP TABLE voice; --", "x" * 100])
def test_hostile_id_is_one_error_and_makes_no_file(tmp_path, features, capsys, hostile):
    assert _voices(tmp_path, "add", hostile, "--features", features, "--consent", "no") == 2
    assert "error[voices/bad-id]" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["anna.npz"]


def test_damaged_database_exits_with_2(tmp_path, capsys):
    (tmp_path / "v.sqlite3").write_bytes(b"x" * 5000)
    assert _voices(tmp_path, "list") == 2
    assert "error[voices/damaged]" in capsys.readouterr().err
