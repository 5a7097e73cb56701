"""A small student with a light decoder is one voice: it loads, converts by its own recipe, and speaks."""

import json

import pytest

from tests.end_to_end.tiny_students import CONVERSION, STUDENT, settings, speaks_alone
from toolkit.cli.app import outcome
from toolkit.models.seeded import seeded_voice
from toolkit.models.vits.decoders import kind_of_decoder
from toolkit.models.voice_file import read_voice, write_voice

pytestmark = pytest.mark.slow

SMALL = settings(
    *STUDENT, "text_training.steps=10", "flow_training.steps=10", "utterances=0",
    "decoder.width=4", "decoder.last_width=2", "decoder.sentences=4", "decoder.training.steps=4",
    "decoder.training.batch=2",
)  # fmt: skip
CONVERT = (
    "convert", "--delegate", "nnapi", "--quiet",
    *settings(
        *CONVERSION, "quality.utterances=1", "bench.runs=2",
        "gates={decoder_partitions_max: 1, total_bytes_max: 6200000}",
    ),
)  # fmt: skip


# "istft" has the first stage of "wavenet", which these rules are of; its own layers: test_light_voice.
RECIPES = {"wavenet": "vits-voice-small-light", "narrow": "vits-voice-small-narrow"}


@pytest.fixture(scope="module", params=RECIPES)
def folder(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp(request.param)
    teacher = write_voice(folder / "teacher.safetensors", seeded_voice())
    told = ["distil", str(teacher), "--student", "small", "--decoder", request.param, "--quiet"]
    assert outcome([*told, "--out", str(folder / "distilled"), *SMALL]) == 0
    student = folder / "distilled" / "student.safetensors"
    convert = [*CONVERT, "--recipe", RECIPES[request.param], str(student), "--teacher", str(teacher)]
    assert outcome([*convert, "--out", str(folder / "run")]) == 0
    return folder


def test_every_part_is_the_students_own(folder):
    found = json.loads((folder / "distilled" / "student.json").read_text())
    teacher, student = found["teacher"]["weights"], found["student"]["weights"]
    assert set(student) == {"encoder", "durations", "flow", "decoder"}
    assert all(student[name] < teacher[name] for name in ("encoder", "flow", "decoder"))
    assert found["heard"].startswith("not judged") and found["not_measured"]
    config = read_voice(folder / "distilled" / "student.safetensors").config
    assert kind_of_decoder(config.generator).name in folder.name and config.durations is not None
    assert (config.encoder.filter_channels, config.flow.hidden) == (24, 16)


def test_the_recipe_gives_each_part_what_it_says(folder):
    results = json.loads((folder / "run" / "results.json").read_text())
    assert results["whole_voice"]["reference"].startswith("the teacher random-voice")
    realised = {}
    for row in results["precision"]:
        realised.setdefault(row["part"].partition("@")[0], set()).add(row["realised"])
    assert "int8-weights" in realised["encoder"]
    assert "int8" in realised["decoder"], "its first stage"
    assert all("int8" not in precision for part in ("durations", "flow") for precision in realised[part])
    assert all("float16" in realised[part] for part in ("durations", "flow", "decoder"))
    placed = {each["part"]: each for each in results["delegation"] if each["delegate"] == "nnapi"}
    assert placed["decoder@128"]["delegated_ops"] == placed["decoder@128"]["total_ops"]


def test_the_bundle_speaks_without_torch_or_onnxruntime(folder):
    bundle = folder / "run" / "bundle"
    assert sorted(each.name for each in bundle.iterdir()) == [
        "decoder.tflite", "durations.tflite", "encoder.tflite", "flow.tflite", "voice.json",
    ]  # fmt: skip
    speaks_alone(bundle, folder / "a.wav")


def test_a_recipe_of_another_decoder_is_refused(folder, capfd):
    """The twin: the rules of a HiFi-GAN decoder match nothing here, and that is said before anything is converted."""
    student = folder / "distilled" / "student.safetensors"
    told = ["convert", str(student), "--teacher", str(folder / "teacher.safetensors"), "--recipe", "vits-voice-small"]
    assert outcome([*told, "--quiet", "--out", str(folder / "other")]) == 2
    assert "error[recipe/rule-matches-nothing]" in capfd.readouterr().err and not (folder / "other").exists()
