"""Inputs of a compiled model edited in place: what is written is what the next run reads."""

from pathlib import Path

import numpy as np
import pytest

from tests.toolkit.engine.test_graphs import CACHE, SCALE, two  # noqa: F401 (a fixture)
from toolkit.engine import host_memory
from toolkit.engine.compiled import CompiledFile
from toolkit.engine.graphs import LiteFile
from toolkit.errors import EngineError


def test_edit_is_seen_by_the_next_run_and_stays(two: Path):  # noqa: F811
    graphs = [opened(two, threads=1).graph(CACHE) for opened in (CompiledFile, LiteFile)]
    draw = np.random.default_rng(0)
    filled = draw.standard_normal((2, 1, 8, 4)).astype(np.float32)
    row = draw.standard_normal((2, 1, 4)).astype(np.float32)
    found = []
    for graph in graphs:
        graph.edit("cache", lambda cache: np.copyto(cache, filled))
        first = graph.run({"gain": np.ones((1, 1), np.float32)})["sum"]
        graph.edit("cache", lambda cache: np.copyto(cache[:, :, 5], row))
        found.append((first, graph.run({"gain": np.ones((1, 1), np.float32)})["sum"], graph.run({})["sum"]))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    assert not np.allclose(found[0][0], found[0][1])
    np.testing.assert_array_equal(found[0][1], found[0][2])


class _Moving:
    """A LiteRT that has its buffer in another place at every lock."""

    def __init__(self, places):
        self.places, self.locked = [place.ctypes.data for place in places], 0

    def LiteRtLockTensorBuffer(self, handle, address, mode):
        address._obj.value = self.places[0]
        self.places, self.locked = [*self.places[1:], self.places[0]], self.locked + 1
        return 0

    def LiteRtUnlockTensorBuffer(self, handle):
        self.locked -= 1


def test_a_buffer_that_moves_is_written_where_it_is(monkeypatch):
    places = [np.zeros((2, 3), np.float32) for _ in range(2)]
    library = _Moving(places)
    monkeypatch.setattr(host_memory, "_library", lambda: library)
    monkeypatch.setattr(host_memory, "_handle", lambda buffer: None)
    memory = host_memory.LentMemory(None, (2, 3), "float32", (1, 0))
    for number in (1, 2, 3):
        with memory as held:
            assert library.locked == 1
            held[number - 1] = number  # a row of what is a column there
    np.testing.assert_array_equal(places[0], [[1, 0, 3], [1, 0, 3]])
    np.testing.assert_array_equal(places[1], [[0, 2, 0], [0, 2, 0]])
    with pytest.raises(ZeroDivisionError), memory:
        raise ZeroDivisionError
    assert not library.locked


def test_input_with_axes_put_in_and_an_unknown_one_are_refused(two: Path):  # noqa: F811
    file = CompiledFile(two, threads=1)
    for graph, name in ((file.graph(SCALE), "x"), (file.graph(CACHE), "nothing")):
        with pytest.raises(EngineError, match=name):
            graph.edit(name, lambda array: None)


def test_a_litert_that_lends_nothing_is_one_clear_error(two: Path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(host_memory, "_library", lambda: None)
    assert not host_memory.lends_memory()
    with pytest.raises(EngineError, match="lend"):
        CompiledFile(two, threads=1).graph(CACHE).edit("cache", lambda array: None)
