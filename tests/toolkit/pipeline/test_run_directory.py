"""A run directory appears whole or not at all."""

import pytest

from converters.errors import InputError
from toolkit.pipeline.run_directory import MANIFEST, building


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
