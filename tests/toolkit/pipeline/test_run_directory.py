"""A run directory appears whole or not at all."""

import os
import threading

import pytest

from converters.errors import InputError
from toolkit.pipeline.run_directory import MANIFEST, building, refuse_foreign_directory


def _leftovers(folder):
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


def test_run_appears_complete(tmp_path):
    out = tmp_path / "a" / "run"
    with building(out) as run:
        run.write_json(MANIFEST, {"a": 1})
        assert not out.exists()
    assert (out / MANIFEST).read_text() == '{\n "a": 1\n}\n'
    assert _leftovers(out.parent) == []


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_failure_leaves_nothing_and_keeps_the_earlier_run(tmp_path, failure):
    out = tmp_path / "run"
    with building(out) as run:
        run.write_json(MANIFEST, {"generation": 1})
    with pytest.raises(failure), building(out) as run:
        run.write_json(MANIFEST, {"generation": 2})
        raise failure
    assert '"generation": 1' in (out / MANIFEST).read_text()
    assert _leftovers(tmp_path) == []


def test_rerun_replaces_the_earlier_run(tmp_path):
    out = tmp_path / "run"
    for generation in (1, 2):
        with building(out) as run:
            run.write_json(MANIFEST, {"generation": generation})
            run.write_text(f"only-{generation}", "x")
    assert sorted(p.name for p in out.iterdir()) == [MANIFEST, "only-2"]
    assert _leftovers(tmp_path) == []


def test_foreign_directory_is_refused(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match=r"not an earlier run"), building(tmp_path / "precious"):
        pass
    assert (tmp_path / "precious" / "thesis.tex").exists()


def test_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "f").write_text("x")
    with pytest.raises(InputError, match="is a file"), building(tmp_path / "f"):
        pass


def test_nan_never_reaches_a_json_file(tmp_path):
    with pytest.raises(ValueError), building(tmp_path / "run") as run:
        run.write_json("x.json", {"value": float("nan")})
    assert not (tmp_path / "run").exists()


def _race(folder, times=20):
    """Two runs that replace the same directory again and again; returns what went wrong."""
    out, failures, start = folder / "run", [], threading.Barrier(2)

    def again_and_again(name):
        start.wait()
        for number in range(times):
            try:
                with building(out) as run:
                    run.write_json(MANIFEST, {"by": name, "number": number})
                    run.write_text("part", f"{name} {number}")
            except OSError as error:
                failures.append(error)

    threads = [threading.Thread(target=again_and_again, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_two_runs_in_one_directory_leave_one_of_them_whole(tmp_path):
    assert _race(tmp_path) == []
    found = {path.name: path.read_text() for path in (tmp_path / "run").iterdir()}
    assert set(found) == {MANIFEST, "part"}
    name, number = found["part"].split()
    assert f'"by": "{name}"' in found[MANIFEST] and f'"number": {number}' in found[MANIFEST]
    assert _leftovers(tmp_path) == []


def test_a_run_that_is_moved_away_while_it_is_looked_at_is_no_foreign_directory(tmp_path, monkeypatch):
    out = tmp_path / "run"
    with building(out) as run:
        run.write_json(MANIFEST, {})
    listed = os.scandir

    def moved_away(path):
        out.rename(tmp_path / "elsewhere")
        return listed(path)

    monkeypatch.setattr("toolkit.pipeline.run_directory.os.scandir", moved_away)
    refuse_foreign_directory(out)


def test_the_race_catches_a_swap_that_looks_before_it_renames(tmp_path, monkeypatch):
    both_looked = threading.Barrier(2)

    def looks_first(temporary, out):
        there = out.exists()
        both_looked.wait(timeout=30)
        if there:
            out.replace(temporary.with_name(f"{temporary.name}.old"))
        temporary.replace(out)

    monkeypatch.setattr("toolkit.pipeline.run_directory._swap", looks_first)
    assert _race(tmp_path, times=1) != []


def test_an_earlier_run_comes_back_when_the_new_one_cannot_be_put_in_its_place(tmp_path, monkeypatch):
    out = tmp_path / "run"
    with building(out) as run:
        run.write_json(MANIFEST, {"generation": 1})
    answers = iter([False])

    def placed(temporary, place):
        for answer in answers:
            return answer
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("toolkit.pipeline.run_directory._placed", placed)
    with pytest.raises(OSError, match="Input/output"), building(out) as run:
        run.write_json(MANIFEST, {"generation": 2})
    assert '"generation": 1' in (out / MANIFEST).read_text()
    assert _leftovers(tmp_path) == []
