"""A voice is distilled and its student converted: what comes out speaks from its graphs alone."""

import json

import pytest

from tests.end_to_end.tiny_students import CONVERSION, STUDENT, settings, speaks_alone
from toolkit.cli.app import outcome
from toolkit.models.seeded import seeded_voice
from toolkit.models.voice_file import write_voice

pytestmark = pytest.mark.slow

SMALL = settings(*STUDENT, "text_training.steps=20", "flow_training.steps=20", "utterances=1")
CONVERT = (
    "convert", "--recipe", "vits-voice-small", "--delegate", "nnapi", "--quiet",
    *settings(*CONVERSION, "quality.utterances=1", "bench.runs=2", "gates={total_bytes_max: 6200000}"),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    teacher = write_voice(folder / "teacher.safetensors", seeded_voice())
    assert outcome(["distil", str(teacher), "--quiet", "--out", str(folder / "distilled"), *SMALL]) == 0
    student = folder / "distilled" / "student.safetensors"
    assert outcome([*CONVERT, str(student), "--teacher", str(teacher), "--out", str(folder / "run")]) == 0
    return folder


def test_the_student_says_how_it_differs_from_its_teacher(folder):
    found = json.loads((folder / "distilled" / "student.json").read_text())
    assert found["student"]["weights"]["flow"] < found["teacher"]["weights"]["flow"]
    assert found["student"]["weights"]["decoder"] == found["teacher"]["weights"]["decoder"]
    assert found["durations"]["sentences"] == 1 and found["own_timing"]["length_ratio"] > 0
    assert not (folder / ".distilled.resume").exists()


def test_the_report_compares_with_the_teacher(folder):
    results = json.loads((folder / "run" / "results.json").read_text())
    assert results["quality"]["reference"].startswith("the teacher random-voice")
    assert {"teacher.safetensors", "student.safetensors"} <= set(results["run"]["input_sha256"])
    codes = {warning["code"] for warning in results["warnings"]}
    assert {"quality/whole-voice", "quality/own-timing"} <= codes
    teacher = json.loads((folder / "distilled" / "student.json").read_text())["teacher"]
    assert results["size"]["baseline_bytes"] == teacher["float32_bytes"]


def test_the_bundle_speaks_without_torch_or_onnxruntime(folder):
    bundle = folder / "run" / "bundle"
    assert sorted(each.name for each in bundle.iterdir()) == [
        "decoder.tflite", "durations.tflite", "encoder.tflite", "flow.tflite", "voice.json",
    ]  # fmt: skip
    speaks_alone(bundle, folder / "a.wav")


@pytest.mark.parametrize("missing", ["durations.tflite", "encoder.tflite"])
def test_a_bundle_without_a_graph_is_refused(folder, tmp_path, capfd, missing):
    for each in (folder / "run" / "bundle").iterdir():
        if each.name != missing:
            (tmp_path / each.name).write_bytes(each.read_bytes())
    assert outcome(["speak", str(tmp_path), "--phonemes", "ðɪs.", "--out", str(tmp_path / "a.wav")]) == 2
    assert "error[input/" in capfd.readouterr().err
