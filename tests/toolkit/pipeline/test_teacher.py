"""A student is judged against the voice it was made of, wherever that lies, and against no other."""

from dataclasses import replace
from pathlib import Path

import pytest

from converters.errors import InputError
from toolkit.cli.app import outcome
from toolkit.models.piper.load import sha256_of
from toolkit.models.seeded import seeded_voice
from toolkit.models.voice import Teacher
from toolkit.models.voice_file import read_voice, write_voice
from toolkit.pipeline.sources import Request, kind_of, open_voice


def _family(folder: Path) -> tuple[Path, Path]:
    """A teacher's file and its student's, side by side."""
    teacher = write_voice(folder / "teacher.safetensors", seeded_voice(0))
    told = Teacher(name="teacher", sources={teacher.name: sha256_of(teacher)}, float32_bytes=123)
    student = replace(seeded_voice(1), name="pupil", teacher=told)
    return teacher, write_voice(folder / "student.safetensors", student)


def test_a_teacher_beside_its_student_is_found(tmp_path):
    teacher, student = _family(tmp_path)
    source = open_voice(Request(model=str(student)))
    assert source.teacher is not None and source.judged_against is source.teacher
    assert source.name == "pupil" and set(source.inputs) == {teacher.name, student.name}
    assert read_voice(teacher).label == source.teacher.label


def test_a_teacher_elsewhere_is_named(tmp_path):
    teacher, student = _family(tmp_path)
    (tmp_path / "far").mkdir()
    moved = teacher.rename(tmp_path / "far" / "another-name.safetensors")
    with pytest.raises(InputError) as caught:
        open_voice(Request(model=str(student)))
    assert caught.value.code == "input/teacher-missing" and "--teacher" in caught.value.hint
    assert open_voice(Request(model=str(student), teacher=moved)).teacher is not None


def test_another_voice_is_not_taken_for_the_teacher(tmp_path):
    teacher, student = _family(tmp_path)
    write_voice(teacher, seeded_voice(2))
    for given in (None, teacher):
        with pytest.raises(InputError) as caught:
            open_voice(Request(model=str(student), teacher=given))
        assert caught.value.code == "input/teacher-missing"


def test_a_voice_that_is_nobodys_student_is_judged_against_itself(tmp_path):
    teacher, _ = _family(tmp_path)
    source = open_voice(Request(model=str(teacher)))
    assert source.teacher is None and source.judged_against is source.voice
    for request in (Request(model=str(teacher), teacher=teacher), Request(teacher=teacher)):
        with pytest.raises(InputError, match="--teacher does nothing"):
            open_voice(request)


def test_inspect_tells_parts_and_teacher(tmp_path, capsys):
    teacher, student = _family(tmp_path)
    assert outcome(["inspect", str(student)]) == 0
    said = capsys.readouterr().out
    assert "student of teacher, 123 bytes" in said and sha256_of(teacher) in said
    assert "on the host  stochastic" in said and "filter_channels 64" in said
    assert outcome(["inspect", str(tmp_path / "none.safetensors")]) == 2


def test_a_voice_file_is_a_voice(tmp_path):
    assert kind_of(Request(model=str(tmp_path / "any.safetensors"))) == "voice"
