"""Trees that differ in anything an image keeps are told apart."""

import os

import pytest
from differences import differences


def _tree(folder):
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/tool").write_text("run")
    (folder / "link").symlink_to("bin/tool")
    for path in (folder / "bin/tool", folder / "bin"):
        os.utime(path, (0, 0))
    os.utime(folder / "link", (0, 0), follow_symlinks=False)
    return folder


def _other_content(folder):
    (folder / "bin/tool").write_text("run!")
    os.utime(folder / "bin/tool", (0, 0))


def _other_target(folder):
    (folder / "link").unlink()
    (folder / "link").symlink_to("elsewhere")
    os.utime(folder / "link", (0, 0), follow_symlinks=False)


CHANGES = {
    "content": ("bin/tool", _other_content),
    "time": ("bin/tool", lambda folder: os.utime(folder / "bin/tool", (5, 5))),
    "mode": ("bin/tool", lambda folder: (folder / "bin/tool").chmod(0o700)),
    "target of a link": ("link", _other_target),
    "an empty folder": ("more", lambda folder: (folder / "more").mkdir()),
}


def test_equal_trees_do_not_differ(tmp_path):
    assert differences(_tree(tmp_path / "one"), _tree(tmp_path / "other")) == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named_with_its_path(tmp_path, change):
    one, other = _tree(tmp_path / "one"), _tree(tmp_path / "other")
    path, apply = CHANGES[change]
    apply(other)
    (line,) = differences(one, other)
    assert path in line
