"""Two runs are the same only when every converted byte and every fact of the manifest but the Python release is."""

import json
from pathlib import Path

import conversions
import pytest
from buildah import CommandFailed
from conversions import disagreements, gates_of

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


VALID, CROWDED = {"valid": True, "reasons": []}, {"valid": False, "reasons": ["decoder ×2: second half 42% slower"]}


def _gate(name, status="fail", value=0.3051, unit="points"):
    return {"id": name, "title": f"The {name}", "value": value, "unit": unit, "limit": 0.25, "comparison": "<=",
            "status": status, "explanation": ""}  # fmt: skip


def _results(run, validity, *gates):
    run.mkdir(parents=True, exist_ok=True)
    (run / "results.json").write_text(json.dumps({"gates": gates, "validity": validity}))
    return run


def _prints(code, results=()):
    def follow(command, heard, **settings):
        heard("a stage")
        if results:
            _results(Path(command[command.index("--out") + 1]), *results)
        if code:
            raise CommandFailed("it ended", code)

    return follow


@pytest.mark.parametrize("code", [0, 1])
def test_a_gate_that_did_not_hold_leaves_files_to_compare_and_is_told(tmp_path, monkeypatch, code):
    gates = [_gate("mos_drop_worst")] if code else []
    monkeypatch.setattr(conversions, "follow", _prints(code, (VALID, _gate("parity", "pass"), *gates)))
    heard = []
    run = conversions.convert_outside("python", tmp_path, (), tmp_path / "out", heard.append)
    assert len(heard) == 1 + code
    assert all("mos_drop_worst" in line for line in heard[1:])
    assert len(gates_of(run).failed) == code


@pytest.mark.parametrize("results", [(), (VALID,), (VALID, _gate("parity", "pass"))])
def test_a_conversion_that_ends_with_1_and_names_no_gate_is_an_error(tmp_path, monkeypatch, results):
    """Python ends so, too, when it breaks."""
    monkeypatch.setattr(conversions, "follow", _prints(1, results))
    with pytest.raises(CommandFailed, match="it ended"):
        conversions.convert_outside("python", tmp_path, (), tmp_path / "out", print)


def test_a_failed_gate_is_named_with_its_numbers(tmp_path):
    gates = (_gate("mos_drop_worst"), _gate("partitions", "error", None), _gate("total_bytes", value=24_000_123.0),
             _gate("mos_drop_mean", "pass"), _gate("speaker_cosine", "skipped", None))  # fmt: skip
    assert gates_of(_results(tmp_path, VALID, *gates)).failed == (
        "The mos_drop_worst (mos_drop_worst): 0.3051 points, limit <= 0.25",
        "The partitions (partitions): not measured points, limit <= 0.25",
        "The total_bytes (total_bytes): 24,000,123 points, limit <= 0.25",
    )


@pytest.mark.parametrize(("validity", "counts"), [(VALID, True), (CROWDED, False)])
def test_a_time_counts_only_where_the_run_calls_its_times_valid(tmp_path, validity, counts):
    found = gates_of(_results(tmp_path, validity, _gate("latency_ratio", unit="ratio")))
    line = "The latency_ratio (latency_ratio): 0.3051, limit <= 0.25"
    assert found.failed == ((line,) if counts else ())
    assert found.noise == (
        () if counts else (f"{line}: does not count", "its times are INVALID: decoder ×2: second half 42% slower")
    )


def test_noise_excuses_no_other_gate(tmp_path):
    gates = _gate("mos_drop_worst"), _gate("estimated_latency", unit="ms, estimated")
    assert len(gates_of(_results(tmp_path, CROWDED, *gates)).failed) == 2


@pytest.mark.parametrize("text", ["", "[]", '{"gates": []}', '{"gates": [{}], "validity": {"valid": true}}'])
def test_results_that_cannot_be_read_are_an_error(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(CommandFailed, match=r"results\.json|results of"):
        gates_of(tmp_path)


def test_a_conversion_that_fails_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(conversions, "follow", _prints(2))
    with pytest.raises(CommandFailed):
        conversions.convert_outside("python", tmp_path, (), tmp_path / "out", print)
