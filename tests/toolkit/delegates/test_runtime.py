"""The oldest runtime a file loads in: by the versions of its operators, in every graph of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from converters.tflite_graph.merge import merge_signatures
from tests.toolkit.compress.small_parts import inputs, residual_part
from tests.toolkit.delegates.small_graphs import graph, op, tensor
from tests.toolkit.delegates.written_files import write
from toolkit.cli.app import outcome
from toolkit.compress.run import compress_part
from toolkit.delegates.runtime import check_runtime, parse_release, runtime_need
from toolkit.delegates.tables import runtime_table
from toolkit.errors import DelegateError
from toolkit.recipe.schema import Compression, PrecisionPolicy
from toolkit.results import load


def _file(*operators: tuple[str, int], custom: str = "") -> bytes:
    tensors = [tensor(at, (1, 2, 2, 1), "FLOAT32") for at in range(len(operators) + 1)]
    made = []
    for at, (kind, version) in enumerate(operators):
        code = custom if kind == "CUSTOM" else ""
        made.append(dataclasses.replace(op(at, kind, (at,), (at + 1,)), version=version, custom_code=code))
    return write(graph(tensors, made))


def test_the_newest_operator_decides_by_number_not_by_letter() -> None:
    need = runtime_need(_file(("TANH", 1), ("CONV_2D", 5), ("CONV_2D", 7), ("ADD", 1)), "a.tflite")
    assert (need.file, need.release, need.unknown) == ("a.tflite", "2.11.0", ())  # not 2.4.0, though 2.4 > 2.11 as text
    assert [(age.op, age.version) for age in need.newest] == [("CONV_2D", 7)]
    assert "runtime_version.cc@" in need.source


def test_versions_of_the_8_bit_forms_are_those_of_their_releases() -> None:
    said = {"FULLY_CONNECTED": (12, "2.17.0"), "EMBEDDING_LOOKUP": (4, "2.18.0"), "CONV_2D": (5, "2.4.0"),
            "DEQUANTIZE": (5, "2.7.0")}  # fmt: skip
    for kind, (version, release) in said.items():
        assert runtime_need(_file((kind, version)), "").release == release


def test_releases_of_an_operator_never_go_back() -> None:
    for name, releases in runtime_table()["ops"].items():
        known = [parse_release(release) for release in releases if release]
        assert known and known == sorted(known), name


def test_what_the_table_does_not_know_is_named_and_never_passes() -> None:
    content = _file(("TANH", 1), ("TANH", 99), ("CUSTOM", 1), custom="Mine")
    need = runtime_need(content, "")
    assert need.release == "1.14.0" and need.unknown == ("TANH 99", "custom Mine 1")
    with pytest.raises(DelegateError, match=r"TANH version 99 .in no release known here."):
        check_runtime(content, "part", "2.99")


def test_a_runtime_that_is_too_old_is_refused_and_one_that_is_not_is_not() -> None:
    content = _file(("CONV_2D", 5), ("TANH", 1))
    for wanted in ("", "2.4", "2.4.0", "2.11", "3.0"):
        check_runtime(content, "part", wanted)
    with pytest.raises(DelegateError, match=r"TFLite 2\.3\.9 does not know .*CONV_2D version 5 .2\.4\.0.") as caught:
        check_runtime(content, "decoder@8", "2.3.9")
    assert (caught.value.code, caught.value.where) == ("delegate/runtime-too-old", "decoder@8")
    assert "TANH" not in caught.value.message


@pytest.mark.parametrize("text", ["", "2", "two", "2.16.1.1", "v2.16", "2.-1"])
def test_what_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(DelegateError) as caught:
        parse_release(text)
    assert caught.value.code == "delegate/unknown-release"


def test_every_graph_of_a_file_counts() -> None:
    part = residual_part()
    plain = compress_part(part, PrecisionPolicy(default="float32"), Compression(), inputs()).tflite
    late = compress_part(residual_part(), PrecisionPolicy(default="float16"), Compression(), inputs()).tflite
    oldest = [parse_release(runtime_need(content, "").release) for content in (plain, late)]
    assert oldest[0] < oldest[1]
    both = merge_signatures([("plain_1", plain), ("late_1", late)])
    assert parse_release(runtime_need(both, "").release) == oldest[1]


def test_inspect_says_it(tmp_path: Path, capsys) -> None:
    path = tmp_path / "a.tflite"
    part = residual_part()
    path.write_bytes(compress_part(part, PrecisionPolicy(default="float16"), Compression(), inputs()).tflite)
    assert outcome(["inspect", str(path)]) == 0
    assert "loads in TFLite 1.15.0 or later (DEQUANTIZE version 3)" in capsys.readouterr().out
    assert outcome(["inspect", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runtime"]["release"] == "1.15.0"


def test_a_model_for_a_runtime_that_is_too_old_is_not_made(tmp_path: Path, capsys) -> None:
    model = ["convert", "tests.end_to_end.small_models:convolutions", "--input", "x:1x4x24", "--quiet"]
    model += ["--out", str(tmp_path / "out"), "--set", "parts={'*': {precision: {default: float16}}}"]
    model += ["--set", "gates={output_snr_db_min: 20}"]
    assert outcome([*model, "--min-runtime", "two"]) == 2
    assert "error[delegate/unknown-release]" in capsys.readouterr().err
    assert outcome([*model, "--min-runtime", "1.14"]) == 2
    refused = capsys.readouterr().err
    assert "error[delegate/runtime-too-old]" in refused and "DEQUANTIZE version 3 (1.15.0)" in refused
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
    assert outcome([*model, "--min-runtime", "1.15"]) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert set(manifest["runtimes"].values()) == {"1.15.0"}
    results = load(tmp_path / "out" / "results.json")
    assert [need.release for need in results.runtimes] == ["1.15.0"]
    assert "Oldest TFLite runtime" in (tmp_path / "out" / "index.html").read_text()
