"""Two runs are the same only when every converted byte and every fact of the manifest but the Python release is."""

import json

import conversions
import pytest
from buildah import CommandFailed
from conversions import disagreements

FILES = ("bundle/decoder.tflite", "float32/decoder.tflite", "onnx/decoder.onnx", "audio/0.flac", "recipe.lock.yaml")


def _run(folder, python="3.11.2"):
    for name in (*FILES, "model_explorer/decoder-time-result.json", "results.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    manifest = {"outputs": {"bundle/decoder.tflite": {"sha256": "1"}}, "tools": {"python": python, "numpy": "1.26.4"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_runs_of_two_python_releases_agree(tmp_path):
    assert disagreements(_run(tmp_path / "one"), _run(tmp_path / "other", "3.11.7")) == []


@pytest.mark.parametrize("name", FILES)
def test_one_other_byte_is_caught(tmp_path, name):
    one, other = _run(tmp_path / "one"), _run(tmp_path / "other")
    data = bytearray((other / name).read_bytes())
    data[0] ^= 1
    (other / name).write_bytes(data)
    (line,) = disagreements(one, other)
    assert line.startswith(name)


def test_a_file_too_much_is_caught(tmp_path):
    one, other = _run(tmp_path / "one"), _run(tmp_path / "other")
    (other / "bundle/more.tflite").write_bytes(b"more")
    assert disagreements(one, other)[0].startswith("bundle/more.tflite")


def test_another_package_version_is_caught(tmp_path):
    one, other = _run(tmp_path / "one"), _run(tmp_path / "other")
    path = other / "manifest.json"
    path.write_text(path.read_text().replace("1.26.4", "1.26.5"))
    assert disagreements(one, other) == ["manifest.json, tools"]


def test_measurements_may_differ(tmp_path):
    one, other = _run(tmp_path / "one"), _run(tmp_path / "other")
    for name in ("model_explorer/decoder-time-result.json", "results.json"):
        (other / name).write_text("another time")
    assert disagreements(one, other) == []


def test_a_run_without_files_agrees_with_nothing(tmp_path):
    one = _run(tmp_path / "one")
    (one / "bundle/decoder.tflite").unlink()
    assert disagreements(one, one) == [f"{one} holds no converted file"]


def _prints(code):
    def follow(command, heard, **settings):
        heard("a stage")
        if code:
            raise CommandFailed("it ended", code)

    return follow


@pytest.mark.parametrize("code", [0, 1])
def test_a_gate_that_did_not_hold_leaves_files_to_compare(tmp_path, monkeypatch, code):
    monkeypatch.setattr(conversions, "follow", _prints(code))
    heard = []
    conversions.convert_outside("python", tmp_path, (), tmp_path / "out", heard.append)
    assert len(heard) == 1 + code


def test_a_conversion_that_fails_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(conversions, "follow", _prints(2))
    with pytest.raises(CommandFailed):
        conversions.convert_outside("python", tmp_path, (), tmp_path / "out", print)
