"""A voice gets a light decoder and is converted: what comes out speaks, and is compared with its teacher."""

import json

import pytest

from converters.tflite_graph.read import read_tflite
from tests.end_to_end.tiny_students import CONVERSION, settings
from toolkit.cli.app import outcome
from toolkit.models.seeded import seeded_voice
from toolkit.models.voice_file import read_voice, write_voice

pytestmark = pytest.mark.slow

SMALL = settings(
    "decoder.width=4", "decoder.last_width=2", "decoder.sentences=4", "decoder.training.steps=4",
    "decoder.training.batch=2", "sentences=4", "utterances=1",
)  # fmt: skip
CONVERT = (
    "convert", "--delegate", "nnapi", "--quiet",
    *settings(*CONVERSION, "quality.utterances=1", "bench.runs=2", "gates={decoder_partitions_max: 1}"),
)  # fmt: skip


@pytest.fixture(
    scope="module", params=[("istft", "vits-voice-light"), ("narrow", "vits-voice-narrow")], ids=lambda kind: kind[0]
)
def folder(request, tmp_path_factory):
    kind, recipe = request.param
    folder = tmp_path_factory.mktemp("light")
    teacher = write_voice(folder / "teacher.safetensors", seeded_voice())
    told = ["distil", str(teacher), "--decoder", kind, "--quiet", "--out", str(folder / "distilled"), *SMALL]
    assert outcome(told) == 0
    student = folder / "distilled" / "student.safetensors"
    assert (
        outcome([*CONVERT, "--recipe", recipe, str(student), "--teacher", str(teacher), "--out", str(folder / "run")])
        == 0
    )
    return folder


def test_only_the_decoder_is_the_students_own(folder):
    found = json.loads((folder / "distilled" / "student.json").read_text())
    teacher, student = found["teacher"]["weights"], found["student"]["weights"]
    assert {name for name in teacher if teacher[name] != student[name]} == {"decoder"}
    assert student["decoder"] < teacher["decoder"]
    voice = read_voice(folder / "distilled" / "student.safetensors")
    widths = [stage.width for stage in voice.config.generator.trunk.stages]
    assert voice.teacher is not None and widths in ([16, 4], [16, 8, 2])


def test_it_is_compared_with_its_teacher_and_runs_on_nnapi(folder):
    results = json.loads((folder / "run" / "results.json").read_text())
    assert results["quality"]["reference"].startswith("the teacher random-voice")
    placed = {each["part"]: each for each in results["delegation"] if each["delegate"] == "nnapi"}
    assert placed["decoder@128"]["delegated_ops"] == placed["decoder@128"]["total_ops"]


def test_the_audio_is_not_rounded_to_8_bits_at_the_end(folder):
    """Behind 8-bit layers TFLite's converter rounds what a tangent gives, if a reshape follows it."""
    last = read_tflite((folder / "run" / "bundle" / "decoder.tflite").read_bytes()).ops[-1]
    assert last.kind != "DEQUANTIZE"


def test_the_bundle_speaks(folder):
    wave = folder / "a.wav"
    told = ["speak", str(folder / "run" / "bundle"), "--phonemes", "ðɪs ɪz nˈɔɪz.", "-o", str(wave)]
    assert outcome(told) == 0 and wave.stat().st_size > 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("decoder.width=400", "the student's second stage has 400 channels"),
        ("decoder={kind: narrow, last_width: 400}", "the student's last stage has 400 channels"),
        ("decoder.kind=hifigan", "decoder.kind: "),
    ],
)
def test_a_student_that_cannot_be_is_refused_before_anything_is_done(tmp_path, capfd, change, message):
    teacher = write_voice(tmp_path / "teacher.safetensors", seeded_voice())
    told = ["distil", str(teacher), "--decoder", "istft", "--set", "sentences=4", "--set", change]
    assert outcome([*told, "--out", str(tmp_path / "none")]) == 2
    assert f"error[recipe/out-of-range]: {message}" in capfd.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_light_decoder_does_nothing_for_a_text_model(capfd):
    assert outcome(["distil", "GPT.ckpt", "--decoder", "istft"]) == 2
    assert "--decoder does nothing for a GPT checkpoint" in capfd.readouterr().err
