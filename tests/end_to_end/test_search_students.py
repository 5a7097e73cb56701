"""A voice is distilled, and students are a knob of a search: a bad one is not chosen, and the best one's run is whole.

Each is judged against the voice given; what comes out speaks from its graphs alone.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("optuna", reason="optuna (extra `search`) is not installed")

from tests.end_to_end.tiny_students import CONVERSION, STUDENT, settings, speaks_alone
from toolkit.cli.app import outcome
from toolkit.models.seeded import seeded_voice
from toolkit.models.voice_file import read_voice, write_voice
from toolkit.search import job as search_job
from toolkit.search import run as search_run

pytestmark = pytest.mark.slow

TINY = settings(*STUDENT, "text_training.steps=20", "flow_training.steps=20", "utterances=1")
FAST = settings(*CONVERSION, "quality.utterances=1", "bench.runs=1", "gates={}")
LIMIT = "200kB"  # the students' recipe gives 186 kB, the base recipe of the voice given 263 kB


def _named(path, seed=0, name="anna"):
    return write_voice(path, replace(seeded_voice(seed), name=name, label="of the tests"))


def _spoiled(path, student):
    """The same student after an accident: every decoder weight is another."""
    voice, noise = read_voice(student), np.random.default_rng(3)
    decoder = voice.modules["decoder"]
    for value in decoder.parameters():
        value.data.copy_(value.data.new_tensor(noise.standard_normal(tuple(value.shape)) * 0.3))
    return write_voice(path, replace(voice, name="spoiled"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    teacher = _named(folder / "anna.safetensors")
    assert outcome(["distil", str(teacher), "--quiet", "--out", str(folder / "good"), *TINY]) == 0
    (folder / "bad").mkdir()
    _spoiled(folder / "bad" / "student.safetensors", folder / "good" / "student.safetensors")
    return folder


def _search(folder, out, *students, limits=("--max-size", LIMIT, "--trials", "3")):
    given = [word for student in students for word in ("--students", str(student))]
    words = ["convert", str(folder / "anna.safetensors"), "--device", "snapdragon-7-gen-3", "--quiet", *FAST, *given]
    return outcome([*words, *limits, "--out", str(out)])


GOOD, BAD = "good/student.safetensors", "bad/student.safetensors"


@pytest.fixture(scope="module")
def done(folder):
    assert _search(folder, folder / "out", folder / BAD, folder / GOOD) == 0
    return folder / "out"


def test_the_student_says_how_it_differs_from_its_teacher(folder):
    found = json.loads((folder / "good" / "student.json").read_text())
    assert found["student"]["weights"]["flow"] < found["teacher"]["weights"]["flow"]
    assert found["student"]["weights"]["decoder"] == found["teacher"]["weights"]["decoder"]
    assert found["durations"]["sentences"] == 1 and found["own_timing"]["length_ratio"] > 0
    assert not (folder / ".good.resume").exists()


def test_the_better_student_is_chosen_and_the_bad_one_is_not(done):
    found = json.loads((done / "search.json").read_text())
    assert found["positions"]["student.model"] == ["given", BAD, GOOD]
    tried = {version["chosen"]["student.model"]: version for version in found["versions"]}
    assert set(tried) == {"given", BAD, GOOD} and all(not each["refused"] for each in tried.values())
    assert tried[BAD]["size_bytes"] == pytest.approx(tried[GOOD]["size_bytes"], rel=0.01)
    assert tried[GOOD]["size_bytes"] <= 200_000 < tried["given"]["size_bytes"], "the size does not decide"
    assert tried[BAD]["score"]["value"] < tried[GOOD]["score"]["value"] < tried["given"]["score"]["value"] + 1e-9
    best = next(version for version in found["versions"] if version["number"] == found["best"])
    assert best["chosen"]["student.model"] == GOOD


def test_quality_is_against_the_voice_given_and_never_against_itself(done, folder):
    for number in (1, 2, 3):
        report = json.loads((done / f"versions/{number:04d}/results.json").read_text())
        against = report["whole_voice"]["reference"]
        assert against.startswith(("the teacher anna", "float voice")), against
    best = json.loads((done / "best/results.json").read_text())
    assert best["whole_voice"]["reference"].startswith("the teacher anna")
    assert {"anna.safetensors", "student.safetensors"} <= set(best["run"]["input_sha256"])
    assert best["quality"]["reference"].startswith("the teacher anna")
    assert {"quality/whole-voice", "quality/own-timing"} <= {warning["code"] for warning in best["warnings"]}
    teacher = json.loads((folder / "good" / "student.json").read_text())["teacher"]
    assert best["size"]["baseline_bytes"] == teacher["float32_bytes"]


def test_the_bundle_speaks_without_torch_or_onnxruntime(done, tmp_path):
    bundle = done / "best" / "bundle"
    assert sorted(each.name for each in bundle.iterdir()) == [
        "decoder.tflite", "durations.tflite", "encoder.tflite", "flow.tflite", "voice.json",
    ]  # fmt: skip
    speaks_alone(bundle, tmp_path / "a.wav")


@pytest.mark.parametrize("missing", ["durations.tflite", "encoder.tflite"])
def test_a_bundle_without_a_graph_is_refused(done, tmp_path, capfd, missing):
    for each in (done / "best" / "bundle").iterdir():
        if each.name != missing:
            (tmp_path / each.name).write_bytes(each.read_bytes())
    assert outcome(["speak", str(tmp_path), "--phonemes", "ðɪs.", "--out", str(tmp_path / "a.wav")]) == 2
    assert "error[input/" in capfd.readouterr().err


def test_the_page_and_the_plot_name_the_students(done):
    page = (done / "index.html").read_text()
    assert "✓ FOUND" in page and GOOD in page and BAD in page and "Students are judged as the voice given is" in page


def test_the_same_search_again_does_no_work(done, folder, monkeypatch):
    def forbidden(*arguments, **named):
        raise AssertionError("a version was tried again")

    monkeypatch.setattr(search_run, "try_version", forbidden)
    monkeypatch.setattr(search_job, "run", forbidden)
    assert _search(folder, done, folder / BAD, folder / GOOD) == 0


def test_another_student_is_another_search(done, folder, capfd):
    assert _search(folder, done, folder / GOOD) == 2
    assert "error[search/other-study]" in capfd.readouterr().err


def test_what_is_no_student_of_the_voice_is_refused(folder, tmp_path, capfd):
    stranger = _named(tmp_path / "stranger.safetensors", seed=1, name="bert")
    for student, code in (
        (folder / "anna.safetensors", "search/student"),  # nobody's: it would be judged against itself
        (tmp_path / "none.safetensors", "input/voice-missing"),
        (folder / "good" / "student.json", "input/voice-damaged"),
    ):
        assert _search(folder, tmp_path / "out", student) == 2
        assert f"error[{code}]" in capfd.readouterr().err and not (tmp_path / "out").exists()
    words = ["convert", str(stranger), "--device", "snapdragon-7-gen-3", "--max-size", LIMIT, "--students"]
    assert outcome([*words, str(folder / GOOD), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert "error[search/student]" in capfd.readouterr().err
    assert _search(folder, tmp_path / "out", folder / GOOD, folder / GOOD) == 2
    assert "named twice" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--prune-ratios", "0,0.5"), "of a voice no channels are taken out"),
        (("--prune-ratios", "half"), "wants numbers"),
        (("--data", "corpus.npz"), "error[search/intent]"),
    ],
)
def test_wishes_a_voice_cannot_be_granted_are_refused(folder, tmp_path, capfd, words, said):
    assert _search(folder, tmp_path / "out", limits=("--max-size", LIMIT, *words)) == 2
    assert said in capfd.readouterr().err and not (tmp_path / "out").exists()


def test_students_stand_in_an_intents_file_too(folder, tmp_path, capfd):
    wish = tmp_path / "wish.yaml"
    wish.write_text(f"device: snapdragon-7-gen-3\nmax_size: {LIMIT}\nstudents: [none.safetensors]\n")
    assert _search(folder, tmp_path / "out", limits=("--intent", str(wish))) == 2
    assert "error[input/voice-missing]" in capfd.readouterr().err
