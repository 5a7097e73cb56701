"""Graphs of a bundle on the LiteRT interpreter, in torch's layout, with inputs that stay where they are.

A key-value cache is tens of megabytes: handing it over at every token would cost more than the token. It is written in
place instead, row by row, into the interpreter's own input, which the interpreter leaves alone between calls.

On the CPU the plain kernels are used: XNNPACK would pack a copy of the weights for every signature of the file. It is
for delegates, and for a LiteRT that does not lend the memory of its buffers; else ``compiled`` is faster.
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


GraphSource = Callable[[GraphFact], Graph]
"""Gives the running graph of a fact, loading it when it is not there."""


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
        from ai_edge_litert.interpreter import Interpreter, OpResolverType, load_delegate

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
            self._interpreter = Interpreter(
                model_path=str(path),
                num_threads=threads,
                experimental_delegates=delegates,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
        except (RuntimeError, ValueError) as error:
            raise unusable(path.name, error) from error

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
            raise unusable(fact.name, error) from error
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
            self._fed(name)
            self._native.SetTensor(self._inputs[name], self.fact.stored(name, value), self._subgraph)
        try:
            self._native.Invoke(self._subgraph)
        except (RuntimeError, ValueError) as error:
            raise unusable(self.fact.name, error) from error
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

    def _indices(self, role: str, signature: Mapping[str, int]) -> dict[str, int]:
        found = {}
        for name, index in signature.items():
            detail = self._interpreter._get_tensor_details(index, self._subgraph)
            found[name] = (tuple(int(size) for size in detail["shape"]), np.dtype(detail["dtype"]).name)
        problem = differing_interface(self.fact, role, found)
        if problem is not None:
            raise problem
        return dict(signature)


def differing_interface(
    fact: GraphFact, role: str, found: Mapping[str, tuple[tuple[int, ...], str]]
) -> EngineError | None:
    """What in a file is not what ``engine.json`` says of it, as an error to raise; None when all is.

    Args:
        fact: the graph.
        role: ``input`` or ``output``.
        found: name to shape and dtype in the file.
    """
    said = {name: (t.layout.target_shape, t.dtype) for name, t in fact.tensors.items() if t.role == role}
    if said == dict(found):
        return None
    first = next(name for name in sorted({*said, *found}) if said.get(name) != found.get(name))
    return EngineError(
        f"{role} {first!r} is {found.get(first, 'not there')}, engine.json says {said.get(first, 'nothing of it')}",
        code="engine/bundle",
        where=f"{fact.file}: {fact.name}",
        hint="copy the bundle again",
    )


def unusable(name: str, error: Exception) -> EngineError:
    """LiteRT's error as ours; ``name`` is the file or the graph."""
    return EngineError(
        f"LiteRT refuses it: {str(error).strip()[-300:]}",
        code="engine/graph",
        where=name,
        hint="on a delegate the engine goes on without it; on the CPU convert again",
    )
