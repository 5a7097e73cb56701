"""A GPT-SoVITS model from its two checkpoints to audio, through the command line."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from converters.tflite_graph.metadata import read_metadata
from tests.toolkit.voices.made_voices import made_arrays
from toolkit.cli.app import outcome
from toolkit.compress.audit import INTEGER
from toolkit.engine.bundle import read_bundle
from toolkit.engine.degrade import NO_DEADLINE, Ladder, Rung
from toolkit.engine.loading import GraphLoader
from toolkit.engine.residency import UNBOUNDED_BYTES, Residency
from toolkit.engine.sampling import Sampler
from toolkit.engine.semantic import SemanticDecoder
from toolkit.engine.singing import rungs_of
from toolkit.engine.sound import pcm16
from toolkit.engine.speaking import Engine, Sentence
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.seeded import small_config, write_gpt, write_sovits
from toolkit.models.gpt_sovits.semantic_config import SemanticConfig, semantic_shapes
from toolkit.models.gpt_sovits.sovits_graphs import random_style
from toolkit.pipeline import gpt_sovits
from toolkit.pipeline.gpt_sovits_rules import _semantic_parts, _sovits_parts
from toolkit.results import RunResult
from toolkit.results import load as load_results
from toolkit.voices.database import VoiceDatabase
from toolkit.voices.feature_file import read_features, write_features
from toolkit.voices.features import checked_features

LENGTHS = (
    "gpt_sovits.prefill=[[32, 24]]",
    "gpt_sovits.cache_rows=[64, 96]",
    "gpt_sovits.text=[[48, 24]]",
    "gpt_sovits.flow=[48]",
    "gpt_sovits.vocoder_stream=[40]",
)
BENCH = ("bench.threads=[2]", "bench.runs=3", "bench.warmup=0", "bench.min_seconds=0")
PHONES = "5 9 14 33 78 2"
# The gate is on what is meant to be heard (22 dB here), not on the vocoder that stands in for it (7 dB).
LIGHT = ("--light-vocoder", "--set", "gates.output_snr_db_min=15")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gpt-sovits")
    whole = small_config("v2")
    # One residual block a stage: four conversions here quantise the vocoder, and another block is more of the same.
    generator = replace(whole.generator, resblock_kernels=(3,), resblock_dilations=((1, 3),))
    sovits = replace(whole, generator=generator)
    write_sovits(folder / "tiny.pth", sovits)
    shapes = semantic_shapes(_semantic(sovits.codes))
    write_gpt(folder / "tiny.ckpt", shapes, heads=4)
    checkpoint = read_checkpoint(folder / "tiny.pth")
    arrays = {
        **made_arrays(0),
        "ge": random_style(checkpoint).ge.numpy(),
        "prompt_codes": np.arange(10) % sovits.codes,
        "prompt_phones": np.arange(9) + 3,
    }
    write_features(folder / "anna.npz", checked_features(arrays, "en"), {})
    return folder


def _semantic(codes: int) -> SemanticConfig:
    return SemanticConfig(width=32, heads=4, layers=2, inner=64, symbols=732, vocabulary=codes + 1)


def _convert(files: Path, out: Path, *more: str) -> int:
    changes = [word for change in (*LENGTHS, *BENCH) for word in ("--set", change)]
    return outcome(["convert", str(files / "tiny.pth"), str(files / "tiny.ckpt"), "--out", str(out), *changes, *more])


@pytest.fixture(scope="module")
def run(files) -> Path:
    out = files / "run"
    assert _convert(files, out, *LIGHT, "--quiet") == 0
    return out


def test_a_run_holds_the_bundle_its_float_graphs_manifest_and_report(run, files):
    bundle = read_bundle(run / "bundle")
    assert {graph.kind for graph in bundle.graphs.values()} == {
        "t2s_prefill", "t2s_step", "text_encoder", "flow", "vocoder_stream", "vocoder_light_stream",
    }  # fmt: skip
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["inputs"]["tiny.pth"]["sha256"] == read_checkpoint(files / "tiny.pth").sha256
    assert "bundle/engine.json" in manifest["outputs"] and "float32/flow_48.tflite" in manifest["outputs"]
    results = load_results(run / "results.json")
    floats = [row.snr_db for row in results.parity if row.to == "tflite float32" and row.snr_db is not None]
    assert results.passed and min(floats) >= 90
    assert {row.part for row in results.parity if row.to == "shipped"} == {part.part for part in results.size.parts}
    assert {row.part for row in results.tensor_errors} == {part.part for part in results.size.parts}
    eight = [row.own_snr_db for row in results.tensor_errors if row.precision == "int8-weights" and row.own_snr_db]
    assert 15 < min(eight) < 60 and "tensor_errors" not in results.not_measured
    step = [row for row in results.precision if row.part == "t2s_step@64" and row.realised == "int8-weights"]
    assert len(step) >= 6
    assert {(row.part, row.delegate) for row in results.delegation} >= {("flow@48", "nnapi"), ("flow@48", "gpu_litert")}
    assert {row.part for row in results.comparisons} == {"total", *(part.part for part in results.size.parts)}
    described = json.loads((run / "bundle/engine.json").read_text())["files"]
    assert {name: fact["runtime"] for name, fact in described.items()} == manifest["runtimes"]
    assert manifest["runtimes"]["t2s.tflite"] == "2.18.0" and manifest["runtimes"]["flow.tflite"] == "1.15.0"
    said = results.sentence
    assert said is not None and (said.codes, said.audio_seconds) == (40, 1.6)  # 96 cache rows behind prompt and text
    for one in said.phases:
        assert 0 < one.first_audio_ms <= one.whole_ms and one.prefill_ms + one.steps_ms < one.whole_ms
    assert [row.variant for row in results.latency if row.part == "total"] == ["float32", "result"]
    assert results.latency[0].part == "total" and not list(run.glob(".*"))
    assert "A sentence takes" in (run / "report.md").read_text()
    for page in ("report.md", "index.html"):
        assert "random weights, not speech" in (run / page).read_text()
    assert not results.clips and "--voice" in results.not_measured["quality"]  # without a voice nobody speaks


def _speaks(bundle: Path, files: Path, folder: Path, capsys) -> None:
    database = folder / "voices.sqlite3"
    added = ["voices", "add", "anna", "--features", str(files / "anna.npz"), "--consent", "by herself"]
    assert outcome([*added, "--database", str(database)]) == 0
    wave = folder / "said.wav"
    spoken = ["speak", str(bundle), "--user", "anna", "--database", str(database), "--phones", PHONES]
    assert outcome([*spoken, "-o", str(wave)]) == 0, capsys.readouterr().err
    samples, rate = soundfile.read(wave)
    assert rate == 32000 and len(samples) >= 640 * 2 and np.abs(samples).max() > 1e-3


def test_the_bundle_speaks_as_an_enrolled_user(run, files, tmp_path, capsys):
    _speaks(run / "bundle", files, tmp_path, capsys)


def test_the_lighter_vocoder_is_whole_in_eight_bits_and_no_part_of_the_float_bundle(run):
    assert [rung.name for rung in rungs_of(read_bundle(run / "bundle"))] == ["cpu", "cpu, light vocoder"]
    results = load_results(run / "results.json")
    assert {row.realised for row in results.precision if row.part == "vocoder_light_stream@40" and row.macs} == {"int8"}
    floats = {row.part: row.total_bytes for row in results.size.parts if row.variant == "float32"}
    assert results.size.baseline_bytes < sum(floats.values()) - floats["vocoder_light_stream@40"] // 2
    shipped = [row for row in results.parity if row.to == "shipped" and row.snr_db is not None]
    light = [row for row in shipped if row.part == "vocoder_light_stream@40"]
    assert len(light) == 1 and light[0].cosine > 0.8  # random weights leave it 6.7 dB; a trained voice more


def test_speaking_falls_to_the_lighter_vocoder_without_a_seam(run, files, capsys, tmp_path):
    said, database = {}, tmp_path / "voices.sqlite3"
    added = ["voices", "add", "anna", "--features", str(files / "anna.npz"), "--consent", "by herself"]
    assert outcome([*added, "--database", str(database)]) == 0
    for name, deadline in (("calm", "1000"), ("late", "0.01")):
        wave = tmp_path / f"{name}.wav"
        spoken = ["speak", str(run), "--user", "anna", "--database", str(database), "-o", str(wave)]
        capsys.readouterr()
        assert outcome([*spoken, "--phones", f"{PHONES} | 8 9 21 40", "--deadline", deadline]) == 0
        said[name], printed = soundfile.read(wave, dtype="int16")[0], capsys.readouterr().out
        assert ("cpu -> cpu, light vocoder" in printed) is (name == "late"), printed
    calm, late = said["calm"], said["late"]
    assert len(calm) == len(late) > 32000
    fell = np.flatnonzero(calm != late)
    assert len(fell) and fell[0] > 640 * 3  # the lighter one was heard, and not before the fall
    alone = Engine(read_bundle(run / "bundle"), GraphLoader(Residency(UNBOUNDED_BYTES)),
                   Ladder((Rung(name="light", light=True),), NO_DEADLINE))  # fmt: skip
    with VoiceDatabase(database) as voices:
        voice = voices.read("anna")
    sentences = [Sentence(phones=np.array(ids, np.int32)) for ids in ([5, 9, 14, 33, 78, 2], [8, 9, 21, 40])]
    pieces = b"".join(pcm16(piece.samples) for piece in alone.speak(voice, sentences))
    np.testing.assert_array_equal(late[fell[0] :], np.frombuffer(pieces, "<i2")[fell[0] :])  # none lost, none twice


def test_every_operator_of_a_bundle_carries_a_path_that_was_asked(run: Path, files: Path) -> None:
    """What the early refusal of rules rests on; were it not so, it would refuse rules that match."""
    semantic = gpt_sovits.semantic_model(read_checkpoint(files / "tiny.ckpt"))
    parts = {**_semantic_parts(semantic, features=True), **_sovits_parts(read_checkpoint(files / "tiny.pth"))}
    known = {path for each in parts.values() for path in each()}
    facts = [read_metadata(file) for file in sorted((run / "bundle").glob("*.tflite"))]
    inputs = {name for graph in read_bundle(run / "bundle").graphs.values() for name in graph.tensors}
    names = {name for fact in facts for name in fact["torch_names"].values()}
    assert len(names) > 300
    assert {name.partition("/")[0] for name in names} - inputs <= known  # what turns an input round is no operator


@pytest.mark.slow
def test_the_integer_recipe_with_a_trained_step_ships_integers_and_speaks(files, tmp_path, capsys):
    """Full int8 layers, 8-bit tables, a float16 flow, and the step's rounding repaired by a few training steps."""
    trained = "parts.t2s_step.compress.finetune.steps=6"
    out = tmp_path / "run"
    voice = str(files / "anna.npz")
    assert _convert(files, out, "--recipe", "gpt-sovits-int8", "--voice", voice, "--set", trained) == 0
    results = load_results(out / "results.json")
    for name in ("t2s_prefill@56", "t2s_step@64", "t2s_step@96", "text_encoder@48", "vocoder_stream@40"):
        assert _realised(results, name)["int8"] >= 10, name
        shipped = [row for row in results.parity if (row.part, row.to) == (name, "shipped")]
        assert {row.inputs for row in shipped} == {"held-out sentences"}
        assert min(row.snr_db for row in shipped if row.snr_db is not None) > 10, name
    assert _realised(results, "t2s_step@64")["int8-weights"] >= 1
    assert _realised(results, "text_encoder@48")["int8-weights"] == 2
    assert set(_realised(results, "flow@48")) <= {"float16", "float32"}
    vocoder = [row for row in results.precision if row.part == "vocoder_stream@40" and row.macs]
    in_float = sum(row.macs for row in vocoder if row.realised not in INTEGER)
    assert in_float / sum(row.macs for row in vocoder) < 0.2
    assert any("t2s_step@64: the likeliest code" in row.message and "of 16" in row.message for row in results.warnings)
    facts = {stage.name: stage.facts["fact"] for stage in results.stages}
    assert "held-out loss" in facts["t2s_step@64: precision"]
    assert "held-out loss" not in facts["t2s_step@96: precision"]  # it has the weights of the other length
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run"]
    _speaks(out / "bundle", files, tmp_path, capsys)


def _realised(results: RunResult, part: str) -> Counter[str]:
    return Counter(row.realised for row in results.precision if row.part == part)


def test_a_sentence_is_timed_and_many_voices_stay_under_their_bound(run, capsys, tmp_path):
    asked = ["--codes", "20", "--phones", "8", "--rounds", "2", "--threads", "1", "--voices", "3", "--json"]
    assert outcome(["bench", str(run), str(run / "bundle"), *asked]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second = found["seconds"]
    assert found["audio_seconds"] == 0.8 and len(found["seconds"][first]) == 2
    assert second == f"{first} (2)" and 0.2 < found["ratios"][second]["median"] < 5  # the same bundle, twice
    assert 0 < found["grown_bytes"][first] < found["bound_bytes"]
    assert outcome(["bench", str(run), str(run / "float32/flow_48.tflite")]) == 2
    assert "bench/mixed" in capsys.readouterr().err
    assert outcome(["bench", str(run), "--codes", "4000"]) == 2
    assert "bench/sentence" in capsys.readouterr().err


def test_same_command_twice_gives_the_same_bytes(run, files, tmp_path):
    assert _convert(files, tmp_path / "again", *LIGHT, "--quiet") == 0
    first, second = (json.loads((folder / "manifest.json").read_text()) for folder in (run, tmp_path / "again"))
    assert first == second


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("tiny.pth", "tiny.pth"), "checkpoint/pair"),
        (("tiny.pth",), "checkpoint/pair"),
        (("tiny.ckpt", "tiny.pth", "tiny.pth"), "checkpoint/pair"),
        (("tiny.ckpt", "missing.pth"), "checkpoint/not-found"),
        (("tiny.ckpt", "short.pth"), "checkpoint/"),
        (("tiny.ckpt", "other.pth"), "checkpoint/pair"),
    ],
)
def test_files_that_do_not_make_a_model_end_in_one_error(files, tmp_path, capsys, names, code):
    (files / "short.pth").write_bytes((files / "tiny.pth").read_bytes()[:9000])
    if not (files / "other.pth").exists():
        write_sovits(files / "other.pth", small_config("v1"))
    out = tmp_path / "out"
    assert outcome(["convert", *(str(files / name) for name in names), "--out", str(out), "--quiet"]) == 2
    assert f"error[{code}" in capsys.readouterr().err
    assert not out.exists() and not list(tmp_path.iterdir())


def test_options_that_would_be_ignored_and_foreign_styles_are_errors(files, tmp_path, capsys):
    assert _convert(files, tmp_path / "out", "--keep-keras") == 2
    assert "--keep-keras does nothing" in capsys.readouterr().err
    write_features(tmp_path / "wide.npz", checked_features(made_arrays(0), "en"), {})
    assert _convert(files, tmp_path / "out", "--voice", str(tmp_path / "wide.npz")) == 2
    assert "error[engine/voice-mismatch]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_voice_of_another_checkpoint_is_not_folded(files, tmp_path, capsys):
    features = read_features(files / "anna.npz")[0]
    write_features(tmp_path / "other.npz", checked_features(features.arrays, "en", "c" * 64), {})
    assert _convert(files, tmp_path / "out", "--voice", str(tmp_path / "other.npz")) == 2
    assert "another SoVITS checkpoint" in capsys.readouterr().err


def test_a_diffusion_model_is_refused_with_the_reason_and_its_gpt_half_converts_alone(files, tmp_path, capsys):
    later = tmp_path / "v4.pth"
    torch.save({"weight": {"enc_p.proj.weight": torch.ones(2), "cfm.estimator.proj.weight": torch.ones(2)},
                "config": {}, "info": "v4"}, later)  # fmt: skip
    assert outcome(["convert", str(files / "tiny.ckpt"), str(later), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    refused = capsys.readouterr().err
    assert "error[checkpoint/unsupported-version]" in refused and "diffusion transformer" in refused
    assert "toolkit convert GPT.ckpt" in refused

    changes = [word for change in (*LENGTHS, *BENCH) for word in ("--set", change)]
    alone = ["convert", str(files / "tiny.ckpt"), "--out", str(tmp_path / "codes"), "--quiet", *changes]
    assert outcome([*alone, "--voice", str(files / "anna.npz")]) == 2
    assert "--voice does nothing" in capsys.readouterr().err
    assert outcome([*alone, "--light-vocoder"]) == 2
    assert "--light-vocoder does nothing for a GPT checkpoint alone" in capsys.readouterr().err
    assert outcome(alone) == 0
    assert "text to semantic codes only" in capsys.readouterr().out
    bundle = read_bundle(tmp_path / "codes" / "bundle")
    assert bundle.contents == "codes"
    assert {graph.kind for graph in bundle.graphs.values()} == {"t2s_prefill", "t2s_step"}
    with GraphLoader(Residency(600 << 20)).using(bundle) as graphs:
        sampler = Sampler(bundle.sampling, np.random.default_rng(0))
        said = SemanticDecoder(bundle, graphs).decode(
            np.arange(9, dtype=np.int32), np.arange(8, dtype=np.int32), sampler, limit=20
        )
    assert 10 < len(said.codes) <= 20

    database = tmp_path / "voices.sqlite3"
    added = ["voices", "add", "anna", "--features", str(files / "anna.npz"), "--consent", "by herself"]
    assert outcome([*added, "--database", str(database)]) == 0
    spoken = ["speak", str(tmp_path / "codes"), "--user", "anna", "--database", str(database), "--phones", PHONES]
    assert outcome([*spoken, "-o", str(tmp_path / "said.wav")]) == 2
    assert "error[engine/codes-only]" in capsys.readouterr().err
    assert not (tmp_path / "said.wav").exists()
