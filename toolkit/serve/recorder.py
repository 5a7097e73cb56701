"""Files of a speaking bundle that note what their graphs were fed and gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from toolkit.engine.bundle import GraphFact
from toolkit.engine.compiled import CompiledFile
from toolkit.engine.graphs import Graph, LiteFile
from toolkit.engine.loading import OpenFile
from toolkit.serve.packing import Call

# A full-size token step has 48 MB of cache among its inputs; more than twice that is not sent to a page.
MOST_CALL_BYTES = 128 << 20


class Recorder:
    """Opens files on the CPU and keeps the calls of their graphs.

    Args:
        threads: of each model.
        every: kinds of which every call is kept, whatever its size; of others the first.
    """

    def __init__(self, threads: int, every: frozenset[str]) -> None:
        self.calls: list[Call] = []
        self.refused: dict[str, str] = {}
        self._threads = threads
        self._every = every
        self._seen: set[str] = set()

    def forget(self) -> None:
        """Starts anew."""
        self.calls, self.refused, self._seen = [], {}, set()

    def open(self, path: Path, delegate: str, in_place: bool) -> OpenFile:
        """A file whose graphs are noted; see ``loading.Opener``."""
        if in_place or delegate:
            return _NotedFile(LiteFile(path, threads=self._threads, delegate=delegate), self)
        return _NotedFile(CompiledFile(path, threads=self._threads), self)

    def run(self, graph: Graph, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph and keeps the call, with inputs that were left in place by earlier ones."""
        fact = graph.fact
        if fact.name in self._seen and fact.kind not in self._every:
            return graph.run(feeds)
        self._seen.add(fact.name)
        inputs = {name: np.array(value, fact.tensors[name].dtype) for name, value in feeds.items()}
        reason = self._add_standing(graph, inputs)
        outputs = graph.run(feeds)
        if reason:
            self.refused[fact.name] = reason
        else:
            self.calls.append(Call(graph=fact.name, inputs=inputs, outputs=outputs))
        return outputs

    def _add_standing(self, graph: Graph, inputs: dict[str, np.ndarray]) -> str:
        """Adds the inputs that keep their last value; says why it cannot."""
        wanted = {name: fact for name, fact in graph.fact.tensors.items() if fact.role == "input"}
        size_bytes = sum(4 * int(np.prod(fact.shape)) for fact in wanted.values())
        if size_bytes > MOST_CALL_BYTES and graph.fact.kind not in self._every:
            return f"its inputs are {size_bytes >> 20} MiB, more than is sent to a page"
        for name, fact in wanted.items():
            if name in inputs:
                continue
            if fact.layout.expanded != fact.layout.torch_shape:
                return f"its input {name!r} stays in the interpreter and cannot be read there"
            graph.edit(name, lambda held, name=name: inputs.update({name: held.copy()}))
        return ""


class _NotedFile:
    def __init__(self, file: OpenFile, recorder: Recorder) -> None:
        self._file = file
        self._recorder = recorder

    def graph(self, fact: GraphFact) -> Graph:
        return _NotedGraph(self._file.graph(fact), self._recorder)


class _NotedGraph:
    def __init__(self, graph: Graph, recorder: Recorder) -> None:
        self.fact = graph.fact
        self._graph = graph
        self._recorder = recorder

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._recorder.run(self._graph, feeds)

    def edit(self, name: str, change: Callable[[np.ndarray], None]) -> None:
        self._graph.edit(name, change)
