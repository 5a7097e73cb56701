"""A file is there whole or not at all."""

import numpy as np
import pytest

from toolkit.whole_file import whole_file


@pytest.mark.parametrize("name", ["page.html", "rows.npz", "no-suffix"])
def test_what_was_written_takes_the_name_and_nothing_else_is_left(tmp_path, name):
    (tmp_path / name).write_text("old")
    with whole_file(tmp_path / name) as temporary:
        temporary.write_text("new")
        assert (tmp_path / name).read_text() == "old"
    assert (tmp_path / name).read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_writer_that_appends_its_suffix_finds_it_there(tmp_path):
    with whole_file(tmp_path / "rows.npz") as temporary:
        np.savez(temporary, rows=np.arange(3))
    assert np.load(tmp_path / "rows.npz")["rows"].tolist() == [0, 1, 2]


def test_a_failure_leaves_what_was_there(tmp_path):
    (tmp_path / "page.html").write_text("old")
    with pytest.raises(OSError, match="full"), whole_file(tmp_path / "page.html") as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("page.html", "old")]
