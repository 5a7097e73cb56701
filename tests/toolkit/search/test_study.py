"""The study: never the same version twice, across interruptions."""

import pytest

pytest.importorskip("optuna", reason="optuna (extra `search`) is not installed")

from tests.toolkit.search.made_versions import over, refused, version
from toolkit.errors import SearchError
from toolkit.search.study import Study

POSITIONS = {"precision.a": ("recipe", "float16", "int8"), "precision.b": ("recipe", "float16")}


def _record(study, number, **fields):
    trial, chosen = study.propose()
    study.record(trial, version(number, chosen=chosen, **fields))
    return chosen


def test_every_combination_once_then_none(tmp_path):
    study = Study(tmp_path / "s.sqlite3", POSITIONS, "id", seed=0)
    chosen = [_record(study, n + 1, score=n) for n in range(study.combinations)]
    assert study.combinations == 6
    assert len({tuple(each.values()) for each in chosen}) == 6
    assert study.propose() is None
    study.close()


def test_starts_with_the_recipe_then_the_plain_precisions(tmp_path):
    study = Study(tmp_path / "s.sqlite3", POSITIONS, "id", seed=0)
    found = [list(_record(study, n).values()) for n in (1, 2, 3)]
    assert found == [["recipe", "recipe"], ["float16", "float16"], ["int8", "recipe"]]
    study.close()


def test_goes_on_after_an_interruption(tmp_path):
    path = tmp_path / "s.sqlite3"
    first = Study(path, POSITIONS, "id", seed=0)
    done = _record(first, 1, violations=(over("total_bytes", 2, 1),))
    _, interrupted = first.propose()  # the process ends while it is tried
    first.close()
    second = Study(path, POSITIONS, "id", seed=0)
    assert [v.chosen for v in second.versions()] == [done]
    assert second.versions()[0].violations[0].value == 2
    seen = [_record(second, n) for n in range(2, 7)]
    assert interrupted in seen and done not in seen
    assert second.propose() is None
    second.close()


def test_refused_settings_of_a_part_are_not_tried_again(tmp_path):
    study = Study(tmp_path / "s.sqlite3", POSITIONS, "id", seed=0)
    _record(study, 1)
    _record(study, 2)
    trial, chosen = study.propose()
    study.record(trial, refused(3, "a", chosen))
    left = []
    while (proposed := study.propose()) is not None:
        left.append(proposed[1])
        study.record(proposed[0], version(4 + len(left), chosen=proposed[1]))
    assert len(left) == 2  # of 6: 2 made, 1 refused, 1 ruled out by it
    assert all(each["precision.a"] != "int8" for each in left)
    study.close()


FORMS = {"student.model": ("given", "s"), "channels.model": ("given", "50% out"), **POSITIONS}


def test_every_form_of_the_model_is_tried_early_under_the_base_recipe(tmp_path):
    study = Study(tmp_path / "s.sqlite3", FORMS, "id", seed=0)
    found = [tuple(_record(study, n).values()) for n in (1, 2, 3, 4)]
    assert found == [
        ("given", "given", "recipe", "recipe"),
        ("s", "given", "recipe", "recipe"),
        ("given", "50% out", "recipe", "recipe"),
        ("given", "given", "float16", "float16"),
    ]
    study.close()


def test_what_one_form_cannot_have_another_may():
    chosen = {"student.model": "s", "precision.a": "int8", "precision.b": "recipe"}
    one = refused(1, "a", chosen)
    assert one.rules_out({**chosen, "precision.b": "float16"})
    assert not one.rules_out({**chosen, "student.model": "given"})
    assert not one.rules_out({**chosen, "precision.a": "recipe"})
    assert not refused(1, "durations", chosen).rules_out(chosen)
    assert one.label == "student s, a int8, b recipe"


def test_another_searchs_file_is_refused(tmp_path):
    path = tmp_path / "s.sqlite3"
    Study(path, POSITIONS, "id", seed=0).close()
    with pytest.raises(SearchError) as caught:
        Study(path, POSITIONS, "another", seed=0)
    assert caught.value.code == "search/other-study"


def test_what_is_no_study_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "s.sqlite3"
    path.write_bytes(b"no database at all, but long enough to be read as one" * 50)
    before = path.read_bytes()
    with pytest.raises(SearchError) as caught:
        Study(path, POSITIONS, "id", seed=0)
    assert caught.value.code == "search/damaged"
    assert path.read_bytes() == before
