"""Builds really made: the same twice, and one made to differ is caught. Skipped where buildah is missing."""

import os
import shutil
import types

import base_image
import pytest
import reproduce
from buildah import CommandFailed, ImageRecipe, Store

needs_buildah = pytest.mark.skipif(
    shutil.which("buildah") is None or os.geteuid() != 0, reason="needs root and Debian's buildah"
)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "images", "vfs")


def _recipe(folder, *, timestamp_s, user="USER 10001\n"):
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text("content")
    (folder / "Dockerfile").write_text(f"FROM scratch\nCOPY file /file\n{user}")
    return ImageRecipe(dockerfile=folder / "Dockerfile", context=folder, arguments={}, timestamp_s=timestamp_s)


class Restless(Store):
    """Touches the context before each build, as a checkout at another time does."""

    seconds = 100_000_000

    def build(self, recipe, tag):
        self.seconds += 3600
        os.utime(recipe.context / "file", (self.seconds, self.seconds))
        return super().build(recipe, tag)


@needs_buildah
def test_two_builds_have_one_id_though_the_files_times_differ(tmp_path):
    store = Restless(tmp_path / "images", "vfs")
    image = reproduce.built_twice(store, _recipe(tmp_path / "context", timestamp_s=0), "small")
    assert image == store.image_id("localhost/small:second")


@needs_buildah
def test_a_time_let_through_is_caught_and_the_file_named(tmp_path):
    store = Restless(tmp_path / "images", "vfs")
    with pytest.raises(reproduce.Differs, match="two builds have the ids") as caught:
        reproduce.built_twice(store, _recipe(tmp_path / "context", timestamp_s=None), "small")
    assert "\n  file: -rw" in str(caught.value)


@needs_buildah
def test_an_image_of_root_is_caught(tmp_path, store):
    store.build(_recipe(tmp_path / "context", timestamp_s=0, user=""), "localhost/small")
    with pytest.raises(reproduce.Differs, match="runs as root"):
        reproduce.check_contents(store, "localhost/small")


@needs_buildah
def test_a_failed_build_says_what_the_builder_said(tmp_path, store):
    recipe = _recipe(tmp_path / "context", timestamp_s=0)
    recipe.dockerfile.write_text("FROM scratch\nCOPY absent /absent\n")
    with pytest.raises(CommandFailed, match="absent"):
        store.build(recipe, "localhost/small")


def test_a_folder_of_other_files_is_not_taken_nor_removed(tmp_path, capsys, monkeypatch):
    (tmp_path / "letter.txt").write_text("dear")
    monkeypatch.setattr(reproduce, "call", lambda command: "")
    assert reproduce.main(["--store", str(tmp_path)]) == 2
    assert "choose an empty --store" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_two_ids_without_a_differing_file_are_still_two(monkeypatch, tmp_path):
    ids = iter(["sha-one", "sha-two"])

    class Fake:
        def build(self, recipe, tag):
            return next(ids)

        def mounted(self, image):
            return _Entered(tmp_path)

    with pytest.raises(reproduce.Differs, match="configurations do"):
        reproduce.built_twice(Fake(), None, "small")


class _Entered(types.SimpleNamespace):
    def __init__(self, folder):
        super().__init__(folder=folder)

    def __enter__(self):
        return self.folder

    def __exit__(self, *error):
        return False


STATUS = """Package: apt
Status: install ok installed
Version: {apt}

Package: dash
Status: install ok installed
Source: elsewhere
Version: 0.5
"""


def _archive(folder, apt):
    import tarfile

    root = folder / f"apt-{apt}"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(STATUS.format(apt=apt))
    archive = folder / f"base-{apt}.tar"
    with tarfile.open(archive, "w") as files:
        files.add(root / "var/lib/dpkg/status", "./var/lib/dpkg/status")
    return archive


def test_the_pinned_base_is_accepted_and_a_newer_package_named(tmp_path):
    lock = tmp_path / "base.lock"
    pinned = _archive(tmp_path, "2.6.1")
    lock.write_text(base_image.lock_text(pinned))
    assert "apt=2.6.1\ndash=0.5\n" in lock.read_text()
    base_image.check(pinned, lock)
    with pytest.raises(base_image.LockDiffers) as caught:
        base_image.check(_archive(tmp_path, "2.6.2"), lock)
    assert "- apt=2.6.1" in str(caught.value)
    assert "+ apt=2.6.2" in str(caught.value)
    assert "dash" not in str(caught.value)
