"""Pages of files this process has mapped."""

import mmap

import pytest

from toolkit.engine.memory import release_pages_of, resident_bytes

SIZE = 32 << 20


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * (SIZE // 256))
    return path


def test_pages_of_a_file_go_and_come_back_when_they_are_read(file):
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        total = sum(mapped[::4096])
        before = resident_bytes()
        assert release_pages_of(file) == SIZE
        assert before - resident_bytes() > SIZE // 2
        assert sum(mapped[::4096]) == total


def test_what_was_written_to_a_private_mapping_stays(file):
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        mapped[:4] = b"mine"
        assert release_pages_of(file) == 0
        assert mapped[:4] == b"mine"


def test_a_file_that_is_not_mapped_is_none(file):
    assert release_pages_of(file) == 0
