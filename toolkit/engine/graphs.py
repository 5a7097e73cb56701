"""Graphs of a bundle on the LiteRT interpreter, in torch's layout, with inputs that stay where they are.

A key-value cache is tens of megabytes: handing it over at every token would cost more than the token. It is written in
place instead, row by row, into the interpreter's own input, which the interpreter leaves alone between calls.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from toolkit.engine.bundle import GraphFact, TensorFact
from toolkit.errors import EngineError


class Graph(Protocol):
    """One graph, whatever runs it."""

    fact: GraphFact

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs it; an input that is not fed keeps its last value, rows written by ``edit`` included."""

    def edit(self, name: str, change: Callable[[np.ndarray], None]) -> None:
        """Lets ``change`` write into an input in place; the array must not be kept."""


class LiteFile:
    """A ``.tflite`` file in one interpreter; its graphs are its signatures.

    Args:
        path: the file; it is mapped, not read.
        threads: of the interpreter.
        delegate: shared library of a delegate; empty is the CPU.

    Raises:
        EngineError: the file or the delegate cannot be loaded.
    """

    def __init__(self, path: Path, *, threads: int, delegate: str = "") -> None:
        from ai_edge_litert.interpreter import Interpreter, load_delegate

        self.path = path
        try:
            if delegate:
                ctypes.CDLL(delegate)  # load_delegate leaves a broken object behind when this fails
            delegates = [load_delegate(delegate)] if delegate else None
        except (ValueError, OSError, RuntimeError) as error:
            raise EngineError(
                f"delegate {delegate!r} cannot be loaded: {error}",
                code="engine/delegate",
                where=str(path),
                hint="the engine goes on without it where it may",
            ) from error
        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads, experimental_delegates=delegates)
        except (RuntimeError, ValueError) as error:
            raise _unusable(path.name, error) from error

    def graph(self, fact: GraphFact) -> LiteGraph:
        """The graph of a signature.

        Raises:
            EngineError: it is not there, cannot be prepared, or is not what ``engine.json`` says.
        """
        return LiteGraph(fact, self._interpreter)


class LiteGraph:
    """A signature of a file; made by ``LiteFile.graph``."""

    def __init__(self, fact: GraphFact, interpreter: Any) -> None:
        self.fact = fact
        self._interpreter = interpreter
        # The public runner copies and re-checks every input at every call; what it is built on can leave them in place.
        self._native = interpreter._interpreter
        signatures = interpreter._get_full_signature_list()
        if fact.signature not in signatures:
            raise EngineError(
                f"the file has no signature {fact.signature!r}",
                code="engine/bundle",
                where=f"{fact.file}: {fact.name}",
                hint=f"it has: {', '.join(signatures) or 'none'}",
            )
        signature = signatures[fact.signature]
        self._subgraph = self._native.GetSubgraphIndexFromSignature(fact.signature)
        try:
            self._native.AllocateTensors(self._subgraph)
        except (RuntimeError, ValueError) as error:
            raise _unusable(fact.name, error) from error
        self._inputs = self._indices("input", signature["inputs"])
        self._outputs = self._indices("output", signature["outputs"])

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the graph.

        Args:
            feeds: inputs in torch's layout; one that is left out keeps its value.

        Returns:
            Outputs in torch's layout.

        Raises:
            EngineError: an input is unknown or of another shape, or the interpreter refuses.
        """
        for name, value in feeds.items():
            fact = self._fed(name)
            array = np.asarray(value, fact.dtype)
            if array.shape != fact.shape:
                raise EngineError(
                    f"input {name!r} is {array.shape}, not {fact.shape}", code="engine/graph", where=self.fact.name
                )
            self._native.SetTensor(self._inputs[name], fact.layout.to_target(array), self._subgraph)
        try:
            self._native.Invoke(self._subgraph)
        except (RuntimeError, ValueError) as error:
            raise _unusable(self.fact.name, error) from error
        return {
            name: self.fact.tensors[name].layout.to_torch(self._native.GetTensor(index, self._subgraph))
            for name, index in self._outputs.items()
        }

    def edit(self, name: str, change: Callable[[np.ndarray], None]) -> None:
        """Lets ``change`` write into an input in place.

        Args:
            name: an input whose layout only permutes axes.
            change: gets the array in torch's layout, and must not keep it.

        Raises:
            EngineError: no such input, or its layout adds axes.
        """
        layout = self._fed(name).layout
        if layout.expanded != layout.torch_shape:
            raise EngineError(f"input {name!r} cannot be edited in place", code="engine/graph", where=self.fact.name)
        stored = self._native.tensor(self._interpreter, self._inputs[name], self._subgraph)
        change(stored.transpose(np.argsort(layout.permutation)))

    def _fed(self, name: str) -> TensorFact:
        if name not in self._inputs:
            raise EngineError(
                f"the graph has no input {name!r}",
                code="engine/graph",
                where=self.fact.name,
                hint=f"it has: {', '.join(self._inputs)}",
            )
        return self.fact.tensors[name]

    def _indices(self, role: str, found: Mapping[str, int]) -> dict[str, int]:
        expected = {name: fact for name, fact in self.fact.tensors.items() if fact.role == role}
        if set(expected) != set(found):
            raise EngineError(
                f"{role}s are {sorted(found)}, engine.json says {sorted(expected)}",
                code="engine/bundle",
                where=f"{self.fact.file}: {self.fact.name}",
                hint="copy the bundle again",
            )
        for name, index in found.items():
            detail = self._interpreter._get_tensor_details(index, self._subgraph)
            shape, dtype = tuple(int(size) for size in detail["shape"]), np.dtype(detail["dtype"]).name
            if (shape, dtype) != (expected[name].layout.target_shape, expected[name].dtype):
                raise EngineError(
                    f"{name!r} is {dtype} {shape}, "
                    f"engine.json says {expected[name].dtype} {expected[name].layout.target_shape}",
                    code="engine/bundle",
                    where=f"{self.fact.file}: {self.fact.name}",
                    hint="copy the bundle again",
                )
        return dict(found)


def _unusable(name: str, error: Exception) -> EngineError:
    return EngineError(
        f"the interpreter refuses it: {str(error).strip()[-300:]}",
        code="engine/graph",
        where=name,
        hint="on a delegate the engine goes on without it; on the CPU convert again",
    )
