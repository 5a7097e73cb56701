"""``toolkit distil --student nar`` from the outside, and what is refused."""

import json

import pytest

from tests.toolkit.train.small_semantic import written_on_one_thread
from toolkit.cli.app import outcome
from toolkit.models.parallel_semantic.file import read_parallel
from toolkit.pipeline.parallel_codes import is_parallel

SIZES = ["--width", 16, "--set", "phone_blocks=1", "--set", "frame_blocks=1", "--set", "frame_kernel=3"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return written_on_one_thread(tmp_path_factory.mktemp("small"))


def _run(*arguments):
    return outcome([str(argument) for argument in arguments])


def test_distil_writes_a_student_and_says_what_it_cannot_do(tmp_path, files, capsys):
    model, data = files
    command = ["distil", model, "--student", "nar", "--data", data, *SIZES, "--steps", 6, "--quiet"]
    assert _run(*command, "--out", tmp_path / "out", "--cache", tmp_path / "teachers") == 0
    said = capsys.readouterr().out
    assert "found by alignment, not measured" in said and "cannot: it takes no prompt" in said
    result = json.loads((tmp_path / "out" / "student.json").read_text())
    found = read_parallel(tmp_path / "out" / "student.safetensors")
    assert (found.model.config.width, found.model.config.frame_blocks) == (16, 1)
    assert result["student"]["parameters"] == sum(value.numel() for value in found.model.parameters())
    assert (tmp_path / "out" / "student.safetensors").stat().st_size == result["file_bytes"]
    assert result["teacher_asked_sentences"] == 96 and result["durations"]["from"] == "alignment"
    assert _run("inspect", tmp_path / "out" / "student.safetensors") == 0
    assert "12 phones to 16 codes, width 16" in capsys.readouterr().out
    assert is_parallel(str(tmp_path / "out" / "student.safetensors")) and not is_parallel(str(model))
    again = [*command, "--out", tmp_path / "again", "--cache", tmp_path / "teachers", "--json"]
    assert _run(*again) == 0
    other = json.loads(capsys.readouterr().out)
    assert other["teacher_asked_sentences"] == 0 and other["student"] == result["student"]
    first, second = (tmp_path / name / "student.safetensors" for name in ("out", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_a_student_that_misses_its_gate_exits_with_1(tmp_path, files, capsys):
    model, data = files
    command = ["distil", model, "--student", "nar", "--data", data, *SIZES, "--steps", 0, "--quiet"]
    assert _run(*command, "--max-rise", 0.01, "--out", tmp_path / "out") == 1
    assert "not held" in capsys.readouterr().out and (tmp_path / "out" / "student.safetensors").is_file()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--layers", 2], "--layers does nothing for --student nar"),
        (["--start", "random"], "--start does nothing"),
        (["--set", "frame_kernel=4"], "even"),
        (["--set", "depth=4"], "depth"),
        (["--temperature", 9], "temperature"),
    ],
)
def test_what_does_nothing_or_cannot_be_is_one_error(tmp_path, files, capsys, options, said):
    model, data = files
    command = ["distil", model, "--student", "nar", "--data", data, *options, "--out", tmp_path / "out", "--quiet"]
    assert _run(*command) == 2
    found = capsys.readouterr().err
    assert "error[" in found and said in found and not (tmp_path / "out").exists()


def test_a_voice_has_no_such_student(capsys):
    assert _run("distil", "joe", "--student", "nar") == 2
    assert "not of a voice" in capsys.readouterr().err
