"""Reading ``engine.json`` and checking files, damaged in every way."""

import json

import numpy as np
import pytest

from tests.toolkit.engine.toy_model import toy_bundle
from toolkit.engine.bundle import is_bundle, read_bundle
from toolkit.errors import EngineError


def test_bundle_reads_back(tmp_path):
    bundle = toy_bundle(tmp_path)
    assert is_bundle(tmp_path)
    assert [graph.length for graph in bundle.of_kind("t2s_step")] == [64, 96, 160]
    assert bundle.of_kind("vocoder") == ()
    assert bundle.graphs["flow_16"].tensors["z_p"].shape == (1, 6, 32)
    assert bundle.checked_file("t2s.tflite") == tmp_path / "t2s.tflite"


@pytest.mark.parametrize("content", [b"toy!", b"tox", b""])
def test_changed_file_is_refused(tmp_path, content):
    bundle = toy_bundle(tmp_path)
    (tmp_path / "t2s.tflite").write_bytes(content)
    with pytest.raises(EngineError) as caught:
        bundle.checked_file("t2s.tflite")
    assert caught.value.code == "engine/bundle"


def test_missing_file_and_missing_bundle_are_one_error(tmp_path):
    bundle = toy_bundle(tmp_path / "b")
    (tmp_path / "b" / "t2s.tflite").unlink()
    with pytest.raises(EngineError):
        bundle.checked_file("t2s.tflite")
    with pytest.raises(EngineError) as caught:
        read_bundle(tmp_path)
    assert "no engine.json" in caught.value.message


def _paths(value, path=()):
    if isinstance(value, dict):
        for key in value:
            yield (*path, key)
            yield from _paths(value[key], (*path, key))
    elif isinstance(value, list) and value:
        yield (*path, 0)


def test_every_field_damaged_is_one_error_or_harmless(tmp_path):
    toy_bundle(tmp_path, ("t2s_step_64", "flow_16"))
    path = tmp_path / "engine.json"
    whole = path.read_text()
    refused = 0
    for where in _paths(json.loads(whole)):
        for wrong in (None, -1, "x", [], {}, 10**30, ["../x"]):
            facts = json.loads(whole)
            at = facts
            for key in where[:-1]:
                at = at[key]
            at[where[-1]] = wrong
            path.write_text(json.dumps(facts))
            try:
                read_bundle(tmp_path)
            except EngineError as error:
                assert error.code in ("engine/bundle", "engine/bad-setting")
                refused += 1
    assert refused > 300


@pytest.mark.parametrize("name", ["../t2s.tflite", "/etc/passwd.tflite", "a/b.tflite", ".tflite", "t2s.so"])
def test_file_names_cannot_leave_the_bundle(tmp_path, name):
    toy_bundle(tmp_path)
    facts = json.loads((tmp_path / "engine.json").read_text())
    facts["files"][name] = facts["files"].pop("t2s.tflite")
    (tmp_path / "engine.json").write_text(json.dumps(facts))
    with pytest.raises(EngineError) as caught:
        read_bundle(tmp_path)
    assert caught.value.code == "engine/bundle"


def test_truncated_json_is_one_error(tmp_path):
    toy_bundle(tmp_path)
    whole = (tmp_path / "engine.json").read_bytes()
    for cut in np.linspace(0, len(whole) - 1, 30, dtype=int):
        (tmp_path / "engine.json").write_bytes(whole[:cut])
        with pytest.raises(EngineError):
            read_bundle(tmp_path)


def test_vocabulary_and_convolutions_read_back_and_damaged_ones_are_one_error(tmp_path):
    toy_bundle(tmp_path)
    path = tmp_path / "engine.json"
    whole = json.loads(path.read_text())
    whole |= {
        "vocabulary": {"characters": "你好", "ids": [7, 9], "unknown": 1, "begin": 2, "end": 3},
        "ssl_convolutions": [[10, 5], [3, 2]],
    }
    path.write_text(json.dumps(whole))
    bundle = read_bundle(tmp_path)
    np.testing.assert_array_equal(bundle.vocabulary.tokens("好你他"), [[2, 9, 7, 1, 3]])
    assert bundle.ssl_convolutions == ((10, 5), (3, 2))
    for key, wrong in (
        ("vocabulary", {**whole["vocabulary"], "ids": [7]}), ("vocabulary", {**whole["vocabulary"], "ids": [7, -1]}),
        ("vocabulary", {"characters": "你"}), ("vocabulary", 5), ("ssl_convolutions", [[10, 0]]),
        ("ssl_convolutions", [[10]]), ("contents", "music"),
    ):  # fmt: skip
        path.write_text(json.dumps({**whole, key: wrong}))
        with pytest.raises(EngineError) as caught:
            read_bundle(tmp_path)
        assert caught.value.code == "engine/bundle"
