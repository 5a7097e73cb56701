"""Two runs are the same only when every converted byte and every fact of the manifest but the Python release is."""

import json

import pytest
from conversions import disagreements


def _run(folder, python="3.11.2"):
    for name in ("bundle/decoder.tflite", "float32/decoder.tflite", "onnx/decoder.onnx"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    manifest = {"outputs": {"bundle/decoder.tflite": {"sha256": "1"}}, "tools": {"python": python, "numpy": "1.26.4"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_runs_of_two_python_releases_agree(tmp_path):
    assert disagreements(_run(tmp_path / "one"), _run(tmp_path / "other", "3.11.7")) == []


@pytest.mark.parametrize("name", ["bundle/decoder.tflite", "float32/decoder.tflite", "onnx/decoder.onnx"])
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


def test_a_run_without_files_agrees_with_nothing(tmp_path):
    one = _run(tmp_path / "one")
    for folder in ("bundle", "float32", "onnx"):
        for path in (one / folder).iterdir():
            path.unlink()
    assert disagreements(one, one) != []
