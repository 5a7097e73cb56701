"""Static lengths: which graph takes an input of some length, and arrays filled up to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from toolkit.engine.bundle import GraphFact
from toolkit.errors import EngineError

BLOCKED = np.float32(-1e4)
"""Added to attention scores that must not count; what the model was trained with, and safe in float16."""


def smallest(graphs: Iterable[GraphFact], needed: Mapping[str, tuple[int, int]], what: str) -> GraphFact:
    """The smallest graph with room for every input.

    Args:
        graphs: candidates.
        needed: input name to (axis, length needed on it).
        what: for the message.

    Raises:
        EngineError: none is long enough.
    """

    def room(graph: GraphFact) -> dict[str, int]:
        return {name: graph.tensors[name].shape[axis] for name, (axis, _) in needed.items()}

    candidates = list(graphs)
    fitting = [g for g in candidates if all(room(g)[name] >= length for name, (_, length) in needed.items())]
    if fitting:
        return min(fitting, key=lambda graph: sum(room(graph).values()))
    sizes = ", ".join(f"{name} {length}" for name, (_, length) in needed.items())
    largest = max((room(graph) for graph in candidates), key=lambda found: sum(found.values()), default={})
    longest = ", ".join(f"at most {name} {length}" for name, length in largest.items())
    raise EngineError(
        f"{what} is too long for this bundle: {sizes}",
        code="engine/too-long",
        where=longest or "the bundle has no such graph",
        hint="split the text into shorter sentences (--cut), or convert with longer buckets",
    )


def filled(array: np.ndarray, length: int, axis: int = -1) -> np.ndarray:
    """The array with zeros after its end, up to ``length`` on ``axis``."""
    missing = length - array.shape[axis]
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, missing)
    return np.pad(array, widths) if missing else array


def presence(valid: int, length: int) -> np.ndarray:
    """``[1, 1, length] float32``: 1 where there is something, 0 where it was filled up."""
    return (np.arange(length) < valid).astype(np.float32)[None, None]


def bias(valid: int, length: int) -> np.ndarray:
    """``[1, 1, 1, length] float32`` to add to attention scores: 0 where there is something, ``BLOCKED`` elsewhere."""
    return np.where(np.arange(length) < valid, np.float32(0), BLOCKED)[None, None, None]
