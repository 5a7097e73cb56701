"""A convolutional student from its file to codes: both graphs, any length, float and int8, on the engine."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from tests.end_to_end.tiny_students import settings
from tests.toolkit.models.parallel_semantic.made_student import made_model
from tests.toolkit.train.small_semantic import small_corpus, trained_model
from tests.toolkit.voices.made_voices import made_arrays
from toolkit.cli.app import outcome
from toolkit.data.semantic_corpus import save_corpus
from toolkit.distil.parallel_semantic import timed_corpus
from toolkit.engine.bundle import read_bundle
from toolkit.engine.loading import GraphLoader
from toolkit.engine.parallel_codes import ParallelDecoder
from toolkit.engine.residency import UNBOUNDED_BYTES, Residency
from toolkit.errors import EngineError
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.seeded import small_config, write_sovits
from toolkit.models.gpt_sovits.sovits_graphs import random_style
from toolkit.models.parallel_semantic.file import read_parallel, write_parallel
from toolkit.quality.parallel_semantic import judge_codes, judge_durations, predicted_frames, student_codes
from toolkit.voices.feature_file import write_features
from toolkit.voices.features import checked_features

LENGTHS = settings(
    "gpt_sovits.nar_phones=[12,24]", "gpt_sovits.nar_frames=[32,96]",
    "bench.threads=[1]", "bench.runs=2", "bench.warmup=0", "bench.min_seconds=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    write_parallel(folder / "student.safetensors", made_model(), label="made", teacher_sha256="0" * 64, version="v2")
    return folder


def _converted(folder, name, *options):
    command = ["convert", str(folder / "student.safetensors"), "--out", str(folder / name), "--quiet", *LENGTHS]
    assert outcome([*command, *options]) == 0
    return read_bundle(folder / name / "bundle")


@pytest.fixture(scope="module")
def bundle(folder):
    return _converted(folder, "float", "--set", "parts.nar_frames.precision.default=float32",
                      "--set", "parts.nar_phones.precision.default=float32")  # fmt: skip


def _sentences():
    draw = np.random.default_rng(4)
    return [draw.integers(0, 12, count).astype(np.int32) for count in (1, 5, 12, 13, 24)]


def test_codes_are_torch_s_whatever_the_bucket(folder, bundle):
    model = read_parallel(folder / "student.safetensors").model  # as written: in half precision
    assert {graph.kind for graph in bundle.graphs.values()} == {"nar_phones", "nar_frames"}
    with GraphLoader(Residency(UNBOUNDED_BYTES)).using(bundle) as graphs:
        for phones in _sentences():
            decoder = ParallelDecoder(bundle, graphs)
            assert np.array_equal(decoder.codes(phones), student_codes(model, phones))
            assert np.allclose(decoder.read(phones).durations, predicted_frames(model, phones), rtol=1e-4)
            slow = decoder.codes(phones, length_scale=1.2)
            assert len(slow) == max(1, round(1.2 * predicted_frames(model, phones).sum()))


def test_what_cannot_be_said_is_one_error(bundle):
    with GraphLoader(Residency(UNBOUNDED_BYTES)).using(bundle) as graphs:
        for phones, code in (
            (np.zeros(25, np.int32), "engine/too-long"),
            (np.array([12], np.int32), "engine/bad-ids"),
            (np.zeros(0, np.int32), "engine/nothing-to-say"),
        ):
            with pytest.raises(EngineError) as caught:
                ParallelDecoder(bundle, graphs).codes(phones)
            assert caught.value.code == code
        with pytest.raises(EngineError) as caught:
            ParallelDecoder(bundle, graphs).codes(np.arange(12, dtype=np.int32), length_scale=50.0)
        assert caught.value.code == "engine/too-long"


def test_int8_is_int8_and_runs_in_one_piece_on_nnapi(folder):
    bundle = _converted(folder, "int8", "--recipe", "gpt-sovits-nar-int8")
    result = json.loads((folder / "int8" / "results.json").read_text())
    asked = [row for row in result["delegation"] if row["delegate"] == "nnapi"]
    assert len(asked) == 4
    for row in asked:
        assert all(op["accepted"] for op in row["ops"]) and {op["partition"] for op in row["ops"]} == {0}
    sizes = {name: (folder / name / "bundle" / "nar_frames.tflite").stat().st_size for name in ("float", "int8")}
    assert sizes["int8"] < sizes["float"]
    with GraphLoader(Residency(UNBOUNDED_BYTES)).using(bundle) as graphs:
        assert all(len(ParallelDecoder(bundle, graphs).codes(phones)) for phones in _sentences())


def test_the_command_says_codes_and_judges_the_files(folder, bundle, tmp_path, capsys):
    model = read_parallel(folder / "student.safetensors").model
    assert outcome(["codes", str(folder / "float"), "--phones", "1 2 3|4", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    for each, phones in zip(said, ([1, 2, 3], [4]), strict=True):
        assert each["codes"] == student_codes(model, np.array(phones, np.int32)).tolist()
    timed = timed_corpus(small_corpus()).corpus
    held_out = tuple(pair for pair in timed.held_out if pair.codes.max() < 16)
    save_corpus(replace(timed, held_out=held_out), tmp_path / "corpus.npz")
    assert outcome(["codes", str(folder / "float"), "--judge", str(tmp_path / "corpus.npz"), "--json"]) == 0
    found, wanted = json.loads(capsys.readouterr().out), judge_codes(model, held_out, trained_model())
    assert found["cross_entropy_nats"] == pytest.approx(wanted.cross_entropy_nats, rel=1e-4)
    assert (found["top1_ratio"], found["codes"], found["durations"]) == (wanted.top1_ratio, wanted.codes, "data")
    durations = judge_durations(model, held_out, timed.training)
    assert found["duration_error_ms"] == pytest.approx(durations.error_ms, rel=1e-3)
    assert outcome(["codes", str(folder / "float")]) == 2
    assert "one of --text, --phones and --judge" in capsys.readouterr().err


@pytest.mark.parametrize("options, said", [(["--input", "a:1x2"], "--input"), (["--max-size", "1MB"], "a search")])
def test_options_that_do_nothing_are_refused(folder, capsys, options, said):
    assert outcome(["convert", str(folder / "student.safetensors"), *options, "--out", str(folder / "no")]) == 2
    assert f"{said} does nothing for a convolutional student" in capsys.readouterr().err


def test_settings_of_a_part_there_is_none_of_are_refused(folder, capsys):
    command = ["convert", str(folder / "student.safetensors"), "--recipe", "gpt-sovits", "--out", str(folder / "no")]
    assert outcome(command) == 2
    assert "recipe/no-such-part" in capsys.readouterr().err


def test_with_sovits_beside_it_the_bundle_speaks(tmp_path, capsys):
    sovits = small_config("v2")
    write_sovits(tmp_path / "tiny.pth", sovits)
    model = made_model(codes=sovits.codes, symbols=732)
    write_parallel(tmp_path / "s.safetensors", model, label="made", teacher_sha256="0" * 64, version="v2")
    lengths = [*LENGTHS, "--set", "gpt_sovits.text=[[48, 24]]", "--set", "gpt_sovits.flow=[48]",
               "--set", "gpt_sovits.vocoder_stream=[40]"]  # fmt: skip
    command = ["convert", str(tmp_path / "s.safetensors"), str(tmp_path / "tiny.pth"), "--out", str(tmp_path / "out")]
    assert outcome([*command, *lengths, "--quiet", "--device", "snapdragon-7-gen-3"]) == 0
    bundle = read_bundle(tmp_path / "out" / "bundle")
    assert bundle.contents == "speech" and {"nar_phones", "nar_frames", "flow"} <= {
        graph.kind for graph in bundle.graphs.values()
    }
    arrays = {
        **made_arrays(0),
        "ge": random_style(read_checkpoint(tmp_path / "tiny.pth")).ge.numpy(),
        "prompt_codes": np.arange(10) % sovits.codes,
        "prompt_phones": np.arange(9) + 3,
    }
    write_features(tmp_path / "anna.npz", checked_features(arrays, "en"), {})
    database = ["--database", str(tmp_path / "voices.sqlite3")]
    added = ["voices", "add", "anna", "--features", str(tmp_path / "anna.npz"), "--consent", "by herself", *database]
    assert outcome(added) == 0
    spoken = ["speak", str(tmp_path / "out"), "--user", "anna", *database, "--phones", "5 9 14 33 78 2"]
    assert outcome([*spoken, "-o", str(tmp_path / "said.wav")]) == 0
    frames = predicted_frames(model, np.array([5, 9, 14, 33, 78, 2], np.int32)).sum()
    assert f"{max(1, round(frames))} codes" in capsys.readouterr().out
    samples, rate = soundfile.read(tmp_path / "said.wav")
    assert rate == 32000 and len(samples) == max(1, round(frames)) * 2 * 640 + round(0.3 * rate)
    write_sovits(tmp_path / "other.pth", small_config("v2"))
    other = made_model(codes=7, symbols=732)
    write_parallel(tmp_path / "o.safetensors", other, label="made", teacher_sha256="0" * 64, version="v2")
    command = ["convert", str(tmp_path / "o.safetensors"), str(tmp_path / "other.pth"), "--out", str(tmp_path / "no")]
    assert outcome([*command, *lengths]) == 2
    assert "checkpoint/pair" in capsys.readouterr().err and not (tmp_path / "no").exists()
