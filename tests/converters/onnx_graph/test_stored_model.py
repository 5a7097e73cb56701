"""A graph that waits on disk: the same bytes back, and nothing of it in memory meanwhile."""

from __future__ import annotations

import errno
import io
import tempfile

import numpy as np
import pytest

from converters.errors import InputError
from converters.onnx_graph import stored_model
from converters.onnx_graph.graph import Graph
from converters.onnx_graph.stored_model import StoredModel
from tests.converters.onnx_graph.graphs import make_graph
from tests.peak_memory import needs_linux, peak_bytes

MATRICES, MATRIX_BYTES = 6, 16 << 20


def stack() -> Graph:
    """Six matrices of 16 MB behind each other."""
    names = [f"w{number}" for number in range(MATRICES)]
    values = {n: np.random.default_rng(i).random((2048, 2048), np.float32) for i, n in enumerate(names)}
    nodes = [("MatMul", f"h{i} {name}", f"h{i + 1}", {}) for i, name in enumerate(names)]
    return make_graph({"h0": (1, 2048)}, nodes, [f"h{MATRICES}"], **values)


def small() -> Graph:
    return make_graph({"x": (1, 3)}, [("Add", "x w", "y", {})], ["y"], w=np.arange(3, dtype=np.float32))


def test_large_graph_comes_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_model, "LARGE_MODEL_BYTES", 1)
    model = small().to_model()
    stored = StoredModel(model)
    for _ in range(2):
        loaded = stored.load()
        assert loaded is not model
        assert loaded.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_small_graph_and_one_that_is_held_anyway_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small().to_model()
    assert StoredModel(model).load() is model
    monkeypatch.setattr(stored_model, "LARGE_MODEL_BYTES", 1)
    assert StoredModel(model, leave=False).load() is model


def test_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stored_model, "LARGE_MODEL_BYTES", 1)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(InputError, match="no room in the folder of temporary files: No space left"):
        StoredModel(small().to_model())


@needs_linux
def test_writing_a_graph_copies_its_weights_once() -> None:
    graph = stack()
    model, peak = peak_bytes(graph.to_model)
    assert model.ByteSize() > MATRICES * MATRIX_BYTES
    # The model's own copy, and one matrix on its way into it, four times over at most.
    assert peak < (MATRICES + 5) * MATRIX_BYTES


@needs_linux
def test_a_second_copy_would_be_seen() -> None:
    graph = stack()

    def twice() -> list[object]:
        return [graph.to_model(), graph.to_model()]

    assert peak_bytes(twice)[1] > (2 * MATRICES - 1) * MATRIX_BYTES
