"""``toolkit distil`` and ``toolkit prune`` from the outside: what they write, what they say, how they exit."""

import json

import pytest

from tests.toolkit.train.small_semantic import small_corpus, trained_model, written_on_one_thread
from toolkit.cli.app import outcome
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.seeded import small_config, write_sovits
from toolkit.models.gpt_sovits.semantic_file import write_semantic
from toolkit.models.seeded import seeded_voice
from toolkit.models.voice_file import read_voice, write_voice
from toolkit.pipeline import listening
from toolkit.pipeline.gpt_sovits import semantic_model
from toolkit.quality.semantic import judge_semantic

FAST = ["--batch", "16", "--rate", "0.002", "--quiet"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return written_on_one_thread(tmp_path_factory.mktemp("small"))


def _run(*arguments):
    return outcome([str(argument) for argument in arguments])


def test_distil_writes_an_ordinary_smaller_checkpoint(tmp_path, files, capsys):
    model, data = files
    out = tmp_path / "out"
    command = ["distil", model, "--data", data, "--layers", 1, "--width", 24, "--steps", 30, "--out", out, *FAST]
    assert _run(*command, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    found = read_checkpoint(out / "student.ckpt", "gpt")
    student = semantic_model(found)
    assert (student.config.width, student.config.layers) == (24, 1) and found.info == "small distilled"
    assert found.size_bytes == result["checkpoint_bytes"] < model.stat().st_size
    judged = judge_semantic(student, small_corpus().held_out)
    assert judged.cross_entropy_nats == pytest.approx(result["student"]["cross_entropy_nats"], abs=2e-3)
    assert result["teacher_asked_sentences"] == 96
    assert _run(*command, "--json") == 0, "an earlier run is replaced"
    assert json.loads(capsys.readouterr().out)["teacher_asked_sentences"] == 0
    assert _run("inspect", out / "student.ckpt") == 0
    assert "GPT" in capsys.readouterr().out


def test_distil_that_misses_its_gate_exits_with_1(tmp_path, files, capsys):
    model, data = files
    command = ["distil", model, "--data", data, "--width", 24, "--steps", 0, "--out", tmp_path / "out", *FAST]
    assert _run(*command, "--max-rise", 0.01) == 1
    assert "not held" in capsys.readouterr().out and (tmp_path / "out" / "student.ckpt").is_file()


def test_prune_writes_an_ordinary_smaller_checkpoint(tmp_path, files, capsys):
    model, data = files
    out = tmp_path / "out"
    command = ["prune", model, "--data", data, "--heads", 0.25, "--round", 0.25, "--steps", 20, "--out", out, *FAST]
    assert _run(*command, "--max-rise", 0.3, "--control") == 0
    said = capsys.readouterr().out
    assert "held to the target" in said and "trained as long" in said
    sizes = semantic_model(read_checkpoint(out / "pruned.ckpt", "gpt")).config
    assert (sum(sizes.inners), sizes.heads, sizes.attention_width) == (64, 3, 24)
    assert _run("inspect", out / "pruned.ckpt") == 0
    assert "2 layers, width 32, 3 heads (24 wide together), feed-forward" in capsys.readouterr().out
    result = json.loads((out / "pruned.json").read_text())
    assert result["kept_round"] == 2
    assert result["control"]["cross_entropy_nats"] < result["pruned"]["cross_entropy_nats"]


def test_prune_asks_its_teacher_once_and_none_where_none_is_wanted(tmp_path, files, capsys):
    model, data = files
    command = ["prune", model, "--data", data, "--round", 0.5, "--steps", 5, "--out", tmp_path / "out", *FAST,
               "--max-rise", 9, "--cache", tmp_path / "teachers", "--json"]  # fmt: skip
    assert _run(*command, "--no-teacher") == 0
    assert json.loads(capsys.readouterr().out)["settings"]["teaching"] is None
    assert not (tmp_path / "teachers").exists(), "nobody was asked"
    assert _run(*command, "--temperature", 4) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["teaching"] == {"temperature": 4.0, "alpha": 0.4}
    assert list((tmp_path / "teachers").rglob("*.npz"))
    assert _run(*command, "--no-teacher", "--alpha", 0.3) == 2
    assert "does nothing with --no-teacher" in capsys.readouterr().err


def test_prune_that_hurts_at_once_writes_nothing_and_exits_with_1(tmp_path, files, capsys):
    model, data = files
    command = ["prune", model, "--data", data, "--round", 0.5, "--steps", 0, "--out", tmp_path / "out", *FAST]
    assert _run(*command, "--max-rise", 0.0001) == 1
    assert "error[prune/no-round]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_prune_of_a_sovits_file_spares_flow_and_decoder(tmp_path, capsys):
    path = write_sovits(tmp_path / "s.pth", small_config("v2"))
    assert _run("prune", path, "--encoder", 0.3, "--out", tmp_path / "out", "--quiet") == 0
    assert "unchanged" in capsys.readouterr().out
    assert _run("prune", path, "--protect", "enc_p.*", "--out", tmp_path / "other", "--quiet") == 2
    assert "error[prune/protected]" in capsys.readouterr().err


VOICE = ["--mlp", "0.5", "--round", "0.25", "--batch", "4", "--rate", "0.001", "--set", "sentences=40",
         "--set", "utterances=0", "--quiet"]  # fmt: skip


def test_prune_of_a_voice_writes_an_ordinary_smaller_voice(tmp_path, capsys):
    given, out = write_voice(tmp_path / "v.safetensors", seeded_voice()), tmp_path / "out"
    command = ["prune", given, *VOICE, "--steps", 10, "--out", out, "--cache", tmp_path / "teachers"]
    assert _run(*command, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    voice, first = read_voice(out / "pruned.safetensors"), read_voice(given)
    assert sum(voice.config.encoder.inners) == 64 == sum(result["pruned"]["inners"])
    assert voice.float32_bytes == result["pruned"]["float32_bytes"] < first.float32_bytes
    assert voice.teacher is not None and voice.teacher.sources == first.sources
    assert result["kept_rounds"] == {"encoder": 2} and result["fidelity"] == result["rounds"][1]["quality"]
    assert result["protected_tensors_unchanged"] == sum(len(first.modules[p].state_dict()) for p in ("flow", "decoder"))
    assert result["heard"].startswith("not judged"), "and no opinion is made up"
    assert _run("inspect", out / "pruned.safetensors") == 0
    assert "student of random-voice" in capsys.readouterr().out
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "teachers").rglob("*.npz")}
    assert kept and _run(*command) == 0
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "teachers").rglob("*.npz")}, "asked once"
    assert "held to the target" in capsys.readouterr().out


def test_prune_of_a_flow_must_be_allowed_and_then_comes_after_the_encoder(tmp_path, capsys):
    given, out = write_voice(tmp_path / "v.safetensors", seeded_voice()), tmp_path / "out"
    command = ["prune", given, *VOICE, "--steps", 10, "--flow", "0.25", "--out", out]
    assert _run(*command) == 2
    refused = capsys.readouterr().err
    assert "error[prune/protected]" in refused and "--unprotect flow" in refused and not out.exists()
    command += ["--unprotect", "flow", "--set", "flow_sentences=8", "--set", "latent_snr_db_min=0"]
    assert _run(*command, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [each["part"] for each in result["rounds"]] == ["encoder", "encoder", "flow"]
    assert result["kept_rounds"] == {"encoder": 2, "flow": 1} and result["fidelity"] == result["rounds"][2]["quality"]
    assert sum(map(sum, result["given"]["gates"])) == 128 and sum(map(sum, result["pruned"]["gates"])) == 96
    voice, first = read_voice(out / "pruned.safetensors"), read_voice(given)
    assert [list(each) for each in voice.config.flow.gate_widths] == result["pruned"]["gates"]
    assert result["protected_tensors_unchanged"] == len(first.modules["decoder"].state_dict())
    assert result["settings"]["flow_training"]["steps"] == 10
    assert _run("inspect", out / "pruned.safetensors", "--json") == 0
    assert json.loads(capsys.readouterr().out)["parts"]["flow"]["gates"] == result["pruned"]["gates"]
    assert _run("prune", given, *VOICE, "--mlp", "0", "--flow", "0.25", "--unprotect", "flow", "--steps", 0,
                "--set", "flow_sentences=8", "--set", "latent_snr_db_min=0", "--out", out) == 0  # fmt: skip
    said = capsys.readouterr().out
    assert (
        "gates 96 of 128" in said and "flow: held to the target" in said and "encoder" not in said.split("against")[0]
    )


def test_prune_of_a_decoder_must_be_allowed_and_says_what_is_left_of_each_stage(tmp_path, capsys):
    given, out = write_voice(tmp_path / "v.safetensors", seeded_voice()), tmp_path / "out"
    assert _run("prune", given, *VOICE, "--mlp", 0, "--decoder", 0.25, "--unprotect", "decoder", "--steps", 2,
                "--set", "decoder_sentences=8", "--set", "mel_distance_max=9", "--set", "channel_multiple=1",
                "--out", out) == 0  # fmt: skip
    said = capsys.readouterr().out
    result = json.loads((out / "pruned.json").read_text())
    assert result["kept_rounds"] == {"decoder": 1} and result["given"]["stages"] == [32, 16, 8, 4]
    assert sum(result["pruned"]["stages"]) == 45 and "decoder: held to the target" in said
    assert f"decoder channels {', '.join(map(str, result['pruned']['stages']))} of 32, 16, 8, 4" in said
    assert read_voice(out / "pruned.safetensors").config.generator.stage_widths == tuple(result["pruned"]["stages"][1:])


def test_prune_of_a_voice_that_hurts_at_once_writes_nothing_and_exits_with_1(tmp_path, capsys):
    given = write_voice(tmp_path / "v.safetensors", seeded_voice())
    command = ["prune", given, *VOICE, "--steps", 0, "--out", tmp_path / "out"]
    assert _run(*command, "--set", "prior_snr_db_min=150") == 1
    assert "error[prune/no-round]" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--protect", "enc_p.*"], "error[prune/protected]"),
        (["--set", "mlp=0.5"], "error[recipe/out-of-range]"),
        (["--mlp", "0"], "nothing is to be taken out"),
        (["--decoder", "0.1"], "--unprotect decoder"),
        (["--unprotect", "flow", "--protect", "dec.*"], "--unprotect flow: protected are decoder"),
        (["--unprotect", "ears"], "--unprotect ears: protected are flow, decoder"),
        (["--set", "mos_drop_max=-1"], "error[recipe/out-of-range]"),
        (["--max-rise", "0.1"], "--max-rise does nothing for a voice"),
        (["--control"], "--control does nothing for a voice"),
        (["--no-teacher"], "--teacher does nothing for a voice"),
        (["--data", "absent.txt"], "error[data/"),
        (["--teacher-voice", "absent.onnx"], "error[input/"),
    ],
)
def test_what_a_voice_cannot_be_pruned_with_is_one_error(tmp_path, capsys, options, said):
    given = write_voice(tmp_path / "v.safetensors", seeded_voice())
    assert _run("prune", given, *VOICE, *options, "--out", tmp_path / "out") == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_rounds_that_nobody_can_hear_are_refused_and_not_waved_through(tmp_path, capsys, monkeypatch):
    given = write_voice(tmp_path / "v.safetensors", seeded_voice())
    monkeypatch.setattr(listening, "available", lambda module: module != "distillmos")
    assert _run("prune", given, *VOICE, "--set", "utterances=1", "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "distillmos is not installed" in said and "utterances=0" in said and not (tmp_path / "out").exists()


def test_options_of_a_voice_do_nothing_for_a_checkpoint(tmp_path, files, capsys):
    model, data = files
    voices = (["--set", "utterances=0"], ["--teacher-voice", "x.onnx"], ["--flow", "0.1"], ["--unprotect", "flow"],
              ["--decoder", "0.1"])  # fmt: skip
    for option in (*voices, ["--encoder", "0.1"]):
        assert _run("prune", model, "--data", data, *option, "--out", tmp_path / "out", "--quiet") == 2
        assert f"{option[0]} does nothing for a" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command, code",
    [
        (["distil", "--temperature", "2"], "recipe/out-of-range"),
        (["prune", "--mlp", "1.0"], "recipe/out-of-range"),
        (["distil", "--data", "absent.npz"], "data/missing"),
    ],
)
def test_bad_input_is_one_error(tmp_path, files, capsys, command, code):
    name, *options = command
    assert _run(name, files[0], *options, "--out", tmp_path / "out", "--quiet") == 2
    assert f"error[{code}]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_model_that_does_not_know_the_data_is_refused(tmp_path, files, capsys):
    stranger = trained_model()
    stranger.ar_predict_layer.weight.copy_(stranger.ar_predict_layer.weight.roll(5, dims=0))
    path = write_semantic(tmp_path / "stranger.ckpt", stranger, "", {})
    for command in ("distil", "prune"):
        assert _run(command, path, "--data", files[1], "--out", tmp_path / "out", "--quiet") == 2
        assert "error[data/foreign-codes]" in capsys.readouterr().err
