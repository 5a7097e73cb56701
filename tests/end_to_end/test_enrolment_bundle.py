"""A bundle that enrols recordings and reads Chinese with its own graphs, through the command line."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from toolkit.cli.app import outcome
from toolkit.data.audio import write_wave
from toolkit.engine import listening
from toolkit.engine.bundle import read_bundle
from toolkit.models.gpt_sovits.seeded import small_config, write_gpt, write_sovits
from toolkit.models.gpt_sovits.semantic_config import SemanticConfig, semantic_shapes
from toolkit.results import load as load_results
from toolkit.voices.database import VoiceDatabase

VECTORS = Path(__file__).parents[1] / "toolkit" / "models" / "gpt_sovits" / "vectors"
LISTENERS = {
    "--ssl": VECTORS / "hubert_tiny", "--bert": VECTORS / "bert_tiny", "--sv": VECTORS / "eres2netv2_tiny.ckpt",
}  # fmt: skip
LENGTHS = (
    "gpt_sovits.prefill=[[64, 128]]", "gpt_sovits.cache_rows=[224]", "gpt_sovits.text=[[48, 48]]",
    "gpt_sovits.flow=[48]", "gpt_sovits.vocoder_stream=[40]", "gpt_sovits.ssl_samples=[140000]",
    "gpt_sovits.reference_codes=[110]", "gpt_sovits.style_frames=[320]", "gpt_sovits.speaker_frames=[352]",
    "gpt_sovits.bert_tokens=[40]", "bench.threads=[2]", "bench.runs=2", "bench.warmup=0", "bench.min_seconds=0",
    "parts.vocoder_stream.precision={default: int8-storage}",  # half the time: nothing is calibrated
)  # fmt: skip
KINDS = ("ssl", "code_extractor", "style_encoder", "speaker_encoder", "bert")
SAID, SPOKEN = "今天天气真不错。", "我们去公园走一走吧。"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("enrolment-bundle")
    config = replace(small_config("v2Pro"), speaker=1280)
    write_sovits(folder / "pro.pth", config)
    semantic = SemanticConfig(
        width=32, heads=4, layers=2, inner=64, symbols=732, vocabulary=config.codes + 1, features=32
    )
    write_gpt(folder / "gpt.ckpt", semantic_shapes(semantic), heads=4)
    time = np.arange(int(3.5 * 22050)) / 22050
    wave = 0.3 * np.sin(2 * np.pi * 180 * time + 3 * np.sin(2 * np.pi * 2 * time)) * (1 + np.sin(2 * np.pi * 3 * time))
    noise = np.random.default_rng(0).standard_normal(len(time))
    write_wave(folder / "ref.wav", (wave + 0.05 * noise).astype(np.float32), 22050)
    return folder


def _convert(files: Path, out: Path, *more: object) -> int:
    changes = [word for change in LENGTHS for word in ("--set", change)]
    models = [str(files / "gpt.ckpt"), str(files / "pro.pth")]
    return outcome(["convert", *models, "--out", str(out), "--quiet", *changes, *map(str, more)])


@pytest.fixture(scope="module")
def run(files) -> Path:
    options = [word for pair in LISTENERS.items() for word in pair]
    assert _convert(files, files / "run", *options) == 0
    return files / "run"


def _add(files: Path, database: Path, *networks: object) -> int:
    return outcome(
        ["voices", "add", "anna", "--audio", str(files / "ref.wav"), "--text", SAID, "--language", "zh",
         "--consent", "by herself", "--database", str(database), *map(str, networks)]
    )  # fmt: skip


def _arrays(database: Path) -> dict[str, np.ndarray]:
    with VoiceDatabase(database) as voices:
        return dict(voices.read("anna").arrays)


def test_every_graph_that_listens_is_proven_and_named_in_the_manifest(run):
    bundle = read_bundle(run / "bundle")
    assert set(KINDS) <= {graph.kind for graph in bundle.graphs.values()}
    results = load_results(run / "results.json")
    for kind in KINDS:
        hops = [row for row in results.parity if row.part.partition("@")[0] == kind and row.to == "tflite float32"]
        assert hops and min(row.snr_db for row in hops if row.snr_db is not None) >= 90, kind
    realised = Counter((row.part.partition("@")[0], row.realised) for row in results.precision)
    assert realised["bert", "int8-weights"] >= 8 and realised["ssl", "float16"] >= 8
    inputs = json.loads((run / "manifest.json").read_text())["inputs"]
    assert {"hubert_tiny/model.safetensors", "bert_tiny/pytorch_model.bin", "eres2netv2_tiny.ckpt"} <= set(inputs)


def test_the_bundle_enrols_what_torch_enrols(run, files, tmp_path, monkeypatch):
    pytest.importorskip("pypinyin")
    given = [word for pair in LISTENERS.items() for word in pair]
    assert _add(files, tmp_path / "torch.sqlite3", "--sovits", files / "pro.pth", *given) == 0
    assert _add(files, tmp_path / "graphs.sqlite3", "--bundle", run) == 0
    expected, found = _arrays(tmp_path / "torch.sqlite3"), _arrays(tmp_path / "graphs.sqlite3")
    assert set(found) == set(expected)
    np.testing.assert_array_equal(found["prompt_phones"], expected["prompt_phones"])
    assert len(found["prompt_codes"]) == len(expected["prompt_codes"]) == 102
    agreeing = np.mean(found["prompt_codes"] == expected["prompt_codes"])
    assert agreeing >= 0.95  # float16 weights may move a near tie
    for name, tolerance in (("ge", 2e-2), ("ge_text", 2e-2), ("prompt_bert", 0.2)):
        scale = np.abs(expected[name]).max()
        assert np.abs(found[name] - expected[name]).max() < tolerance * scale, name

    monkeypatch.setattr(listening, "presence", lambda valid, length: np.ones((1, 1, length), np.float32))
    assert _add(files, tmp_path / "unmasked.sqlite3", "--bundle", run) == 0
    unmasked = _arrays(tmp_path / "unmasked.sqlite3")
    assert np.mean(unmasked["prompt_codes"] == expected["prompt_codes"]) < min(agreeing, 0.96) - 0.04
    assert np.abs(unmasked["ge"] - expected["ge"]).max() > 2e-2 * np.abs(expected["ge"]).max()


def test_it_speaks_chinese_with_its_own_text_features_and_says_when_it_has_none(run, files, tmp_path, capsys):
    pytest.importorskip("pypinyin")
    database = tmp_path / "v.sqlite3"
    assert _add(files, database, "--bundle", run / "bundle") == 0
    bare = tmp_path / "bare"
    shutil.copytree(run / "bundle", bare)
    facts = json.loads((bare / "engine.json").read_text())
    del facts["vocabulary"]
    (bare / "engine.json").write_text(json.dumps(facts))
    heard = {}
    for name, bundle in (("with", run / "bundle"), ("without", bare)):
        capsys.readouterr()
        wave = tmp_path / f"{name}.wav"
        spoken = ["speak", str(bundle), "--user", "anna", "--database", str(database), "--text", SPOKEN]
        assert outcome([*spoken, "--memory-mb", "1500", "-o", str(wave)]) == 0, capsys.readouterr().err
        printed = capsys.readouterr().out
        assert ("text features are zeros: the bundle has no BERT" in printed) == (name == "without")
        heard[name] = soundfile.read(wave)[0]
    assert not np.array_equal(heard["with"], heard["without"])


def test_what_does_nothing_or_does_not_fit_is_an_error_before_any_work(run, files, tmp_path, capsys):
    cases = [
        ([("--sv", LISTENERS["--sv"])], "usage/invalid", "without --ssl"),
        ([("--ssl", LISTENERS["--ssl"])], "checkpoint/pair", "--sv"),
        ([("--bert", LISTENERS["--bert"]), ("--set", "gpt_sovits.text_features=false")], "usage/invalid", "--bert"),
        ([("--bert", LISTENERS["--ssl"])], "checkpoint/wrong-shape", "embeddings.word"),
        ([("--ssl", LISTENERS["--bert"]), ("--sv", LISTENERS["--sv"])], "checkpoint/wrong-shape", "conv_layers"),
    ]
    for options, code, words in cases:
        assert _convert(files, tmp_path / "out", *(word for pair in options for word in pair)) == 2, options
        shown = capsys.readouterr().err
        assert f"error[{code}]" in shown and words in shown, shown
    assert not (tmp_path / "out").exists()

    bare = tmp_path / "bare"
    shutil.copytree(run / "bundle", bare)
    facts = json.loads((bare / "engine.json").read_text())
    facts["graphs"] = {name: fact for name, fact in facts["graphs"].items() if not name.startswith("ssl")}
    (bare / "engine.json").write_text(json.dumps(facts))
    assert _add(files, tmp_path / "v.sqlite3", "--bundle", bare) == 2
    assert "error[engine/no-enrolment]" in capsys.readouterr().err
    assert not (tmp_path / "v.sqlite3").exists()
