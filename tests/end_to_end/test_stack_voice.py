"""``toolkit stack`` on a voice as a user runs it: distilled, pruned, quantised; gates, cache and page."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from toolkit.cli.app import outcome
from toolkit.models.seeded import seeded_voice
from toolkit.models.voice_file import read_voice, write_voice
from toolkit.pipeline import stack_voice
from toolkit.pipeline.stage_cache import is_whole
from toolkit.results.stack import load_stack

pytestmark = pytest.mark.slow

TRAINING = {"steps": 20, "batch": 4, "learning_rate": 0.003, "dropout": 0.0}
STACK = {
    "schema": 1,
    "family": "voice",
    "name": "tiny",
    "utterances": 1,
    "distil": {
        "mos_drop_max": 5.0, "speaker_cosine_loss_max": 2.0,
        "student": {
            "encoder": {"filter_channels": 24}, "flow": {"hidden": 16}, "durations": {"hidden": 16, "draws": 2},
            "sentences": 16, "flow_sentences": 8, "text_training": TRAINING, "flow_training": TRAINING,
        },
    },
    "prune": {
        "mlp_ratio": 0.25, "round_ratio": 0.25, "sentences": 16, "training": TRAINING,
        "mos_drop_max": 5.0, "speaker_cosine_loss_max": 2.0, "prior_snr_db_min": 0.0, "frames_error_max": 5.0,
    },
    "quantise": {
        "recipe": "vits-voice-small", "mos_drop_max": 5.0, "speaker_cosine_loss_max": 2.0,
        "changes": ["buckets.phonemes=[160]", "buckets.frames=[128]", "gates={total_bytes_max: 6200000}"],
    },
    "gates": {"bytes_ratio_min": 2, "sentence_latency_ratio_max": 50.0},
}  # fmt: skip


def _voice(folder, **changes):
    """A voice whose label does not say that its weights are random, so that it is judged."""
    return write_voice(
        folder / "anna.safetensors", replace(seeded_voice(), name="anna", label="of the tests", **changes)
    )


def _stack(folder, out, *changes, model=None):
    recipe = folder / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(STACK))
    asked = ["stack", model or folder / "anna.safetensors", "--recipe", recipe, "--out", out, "--quiet"]
    words = [word for change in changes for word in ("--set", change)]
    return outcome([str(word) for word in [*asked, "--cache", folder / "cache", *words]])


@pytest.fixture(scope="module", autouse=True)
def timed_in_a_second():
    """Every stack times its stages for at least six seconds, and no test asks how long one takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_voice, "_PLAN", replace(stack_voice._PLAN, warmup_runs=0, min_runs=3, min_seconds=0.2))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("stack")
    _voice(place)
    assert _stack(place, place / "out") == 0
    return place


def test_every_stage_is_smaller_and_judged_against_the_voice_given(folder):
    result = load_stack(folder / "out" / "stack.json")
    assert [stage.name for stage in result.stages] == ["given", "distil", "prune", "quantise"] and result.passed
    sizes = [stage.bundle_bytes for stage in result.stages]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    given, distilled, pruned, quantised = result.stages
    assert (given.mos_drop, given.speaker_cosine, given.judged_on) == (None, None, "")
    assert {distilled.judged_on, pruned.judged_on} == {"torch, float32"} and quantised.judged_on == "TFLite files"
    assert 0.5 < quantised.speaker_cosine < 1.0 and quantised.mos_drop is not None
    assert result.against == "anna in float (torch)" and result.utterances == 1
    assert pruned.mos_drop is not None and 0.5 < pruned.speaker_cosine < 1.0
    assert {gate.id for gate in pruned.gates} == {"prune_mos_drop", "prune_speaker_cosine_loss"}
    assert {one.candidate for one in result.comparisons} == {"distil", "prune", "quantise"}
    assert {entry.part for entry in result.latency} == {"sentence"}
    ids = {gate.id for gate in result.gates}
    assert {"total_bytes", "parity", "bytes_ratio", "sentence_latency_ratio"} == ids
    assert sizes[-1] == sum(path.stat().st_size for path in (folder / "out" / "bundle").iterdir())


def test_the_run_directory_is_complete(folder):
    out = folder / "out"
    assert is_whole(out)
    student = read_voice(out / "checkpoint" / "pruned.safetensors")
    assert student.teacher.name == "anna" and sum(student.config.encoder.inners) in (32, 40)
    distilled = read_voice(next((folder / "cache").glob("voice-distil-" + 16 * "[0-9a-f]" + "/student.safetensors")))
    assert distilled.config.encoder.inners == (24, 24)
    for part in ("durations", "flow", "decoder"):
        kept = [voice.modules[part].state_dict() for voice in (student, distilled)]
        assert all(np.array_equal(kept[0][name], kept[1][name]) for name in kept[0]), "what pruning may not touch"
    wave = folder / "a.wav"
    assert outcome(["speak", str(out / "bundle"), "--phonemes", "ðɪs ɪz nˈɔɪz.", "-o", str(wave)]) == 0
    assert wave.stat().st_size > 1000
    (clip,) = load_stack(out / "stack.json").clips
    assert set(clip.paths) == {"given", "distil", "prune", "quantise"}
    contents = {(out / path).read_bytes() for path in clip.paths.values()}
    assert len(contents) == 4, "each stage says it in its own way"
    page = (out / "index.html").read_text()
    assert "pruned" in page and "Nothing was pruned" not in page
    assert "held-out sentences" in page and "A sentence's time" in page.replace("&#39;", "'") and "RANDOM" not in page
    assert all(path in page for path in clip.paths.values())


def test_finished_stages_are_found_and_a_damaged_one_is_made_again(folder, capsys):
    assert _stack(folder, folder / "again") == 0
    assert capsys.readouterr().out.count("from the cache") == 3
    (student,) = (folder / "cache").glob("voice-distil-" + 16 * "[0-9a-f]" + "/student.safetensors")
    whole = student.read_bytes()
    student.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert _stack(folder, folder / "again") == 0
    stages = {stage.name: stage.reused for stage in load_stack(folder / "again" / "stack.json").stages}
    assert stages == {"given": False, "distil": False, "prune": True, "quantise": True}
    assert student.read_bytes() == whole, "the same weights again"


def test_a_pruning_that_loses_too_much_ends_the_stack_with_one_error(folder, capsys):
    """The twin of the fixture: not even the first round holds, so there is nothing to quantise."""
    assert _stack(folder, folder / "ruined", "prune.prior_snr_db_min=150") == 1
    assert "error[prune/no-round]" in capsys.readouterr().err and not (folder / "ruined").exists()
    assert _stack(folder, folder / "ruined", 'prune.protect=["enc_p.*"]') == 2
    assert "error[prune/protected]" in capsys.readouterr().err and not (folder / "ruined").exists()


def test_a_gate_that_does_not_hold_stops_the_stack(folder, capsys):
    """The twin of the fixture: the same student, found in the cache, under a limit it breaks."""
    out = folder / "strict"
    assert _stack(folder, out, "distil.speaker_cosine_loss_max=0.0") == 1
    said = capsys.readouterr().out
    assert "FAIL" in said and "stopped: the gate of stage distil does not hold" in said
    result = json.loads((out / "stack.json").read_text())
    assert [stage["name"] for stage in result["stages"]] == ["given", "distil"] and result["stopped_at"] == "distil"
    assert result["stages"][1]["reused"] and not result["gates"]
    assert (out / "checkpoint" / "student.safetensors").is_file(), "what was made is kept"


def test_a_whole_gate_that_does_not_hold_is_exit_code_1(folder):
    assert _stack(folder, folder / "small", "gates.bytes_ratio_min=1000") == 1
    result = load_stack(folder / "small" / "stack.json")
    assert not result.passed and not result.stopped_at
    assert [gate.id for gate in result.all_gates if gate.status == "fail"] == ["bytes_ratio"]


def test_an_interrupted_stack_leaves_its_finished_stages(folder, monkeypatch, capfd):
    made = []

    def interrupted(*arguments, **named):
        made.append(arguments[1].name)
        raise KeyboardInterrupt

    monkeypatch.setattr(stack_voice, "run", interrupted)
    out = folder / "interrupted"
    assert _stack(folder, out, 'quantise.changes=["buckets.phonemes=[160]", "buckets.frames=[128]", "gates={}"]') == 2
    assert "run/interrupted" in capfd.readouterr().err and not out.exists()
    assert made == ["vits-voice-small"], "everything before the stage that changed was found"


def test_random_weights_have_sizes_and_latency_and_no_quality(folder, tmp_path):
    model = write_voice(tmp_path / "random.safetensors", seeded_voice())
    changes = ("distil=null", "gates.bytes_ratio_min=1.5")
    assert _stack(folder, tmp_path / "out", *changes, model=model) == 0
    result = load_stack(tmp_path / "out" / "stack.json")
    assert [stage.name for stage in result.stages] == ["given", "prune", "quantise"] and not result.trained
    assert {stage.speaker_cosine for stage in result.stages} == {None} and result.comparisons
    assert {gate.status for stage in result.stages[1:] for gate in stage.gates} == {"skipped"} and not result.clips
    smaller = read_voice(tmp_path / "out" / "checkpoint" / "pruned.safetensors")
    assert sum(smaller.config.encoder.inners) == 96, "held to its prior and durations alone"
    assert "RANDOM weights" in (tmp_path / "out" / "index.html").read_text()


def test_a_student_is_stacked_against_its_first_teacher(folder):
    """Its own losses count from where it is, and not from nothing."""
    student = folder / "out" / "checkpoint" / "pruned.safetensors"
    out = folder / "twice"
    asked = ["stack", student, "--teacher", folder / "anna.safetensors", "--recipe", folder / "tiny.yaml", "--quiet"]
    words = [
        "--out",
        out,
        "--cache",
        folder / "cache",
        "--set",
        "distil=null",
        "--set",
        "prune=null",
        "--set",
        "gates={}",
    ]
    assert outcome([str(word) for word in [*asked, *words]]) == 0
    result = load_stack(out / "stack.json")
    given, quantised = result.stages
    assert result.against == "anna in float (torch)" and given.judged_on == "TFLite files"
    first = load_stack(folder / "out" / "stack.json").stages[2]
    assert given.speaker_cosine == pytest.approx(first.speaker_cosine, abs=0.01)
    loss = next(gate for gate in quantised.gates if gate.id == "quantise_speaker_cosine_loss")
    assert loss.value == pytest.approx(given.speaker_cosine - quantised.speaker_cosine)
    assert set(result.clips[0].paths) == {"teacher", "given", "quantise"}
    assert outcome(["stack", str(student), "--recipe", str(folder / "tiny.yaml"), "--out", str(folder / "no")]) == 2


@pytest.mark.parametrize(
    "change, code",
    [
        ("quantise.recipe=none-such", "recipe/not-found"),
        ("surprise=1", "recipe/"),
        ("distil.student.flow.hidden=64", "recipe/out-of-range"),
        ("distil.student.utterances=3", "recipe/"),
        ("family=t2s", "recipe/other-family"),
    ],
)
def test_a_bad_recipe_is_one_error(folder, tmp_path, capsys, change, code):
    assert _stack(folder, tmp_path / "out", change) == 2
    assert f"error[{code}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_voice_that_is_not_there_is_one_error(folder, tmp_path, capsys):
    assert _stack(folder, tmp_path / "out", model=tmp_path / "none.safetensors") == 2
    assert "error[input/" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert outcome(["stack", "joe", "--recipe", "stacked-t2s", "--out", str(tmp_path / "out")]) == 2
    assert "error[recipe/other-family]" in capsys.readouterr().err
    assert outcome(["stack", "--teacher", "x", "--out", str(tmp_path / "out")]) == 2
