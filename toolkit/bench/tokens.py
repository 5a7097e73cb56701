"""Time of a token step as the engine takes it: cache, position and mask written, graph run, logits read."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from toolkit.engine.bundle import bundle_folder, read_bundle
from toolkit.engine.cache import TokenCache, cache_rows
from toolkit.engine.loading import GraphLoader
from toolkit.engine.positions import position_rows
from toolkit.engine.residency import UNBOUNDED_BYTES, Residency
from toolkit.errors import BenchError

_BEFORE: Final = 64  # rows of text and prompt


class TokenLoop:
    """The step graph of a bundle, one token at a time; when its cache is full it begins again.

    Args:
        folder: a bundle, or a run directory with one.
        threads: of the interpreter.
        rows: cache length of the graph to time.
        seed: of keys, values and tokens, none of which the time depends on.

    Attributes:
        init_ms: time to load the graph and write the first rows.
        first_ms: time of the first token.

    Raises:
        BenchError: the bundle has no step graph of that length.
        EngineError: it is damaged.
    """

    def __init__(self, folder: Path, *, threads: int, rows: int, seed: int = 0) -> None:
        bundle = read_bundle(bundle_folder(folder))
        facts = [fact for fact in bundle.of_kind("t2s_step") if cache_rows(fact) == rows]
        if not facts:
            raise BenchError(
                f"no step graph with {rows} rows", code="bench/sentence", where=str(folder),
                hint=f"it has {', '.join(str(cache_rows(fact)) for fact in bundle.of_kind('t2s_step'))}",
            )  # fmt: skip
        self._bundle = replace(bundle, graphs={facts[0].name: facts[0]})
        # Open as long as this lives: graphs in use are never evicted.
        self._open = ExitStack()
        loader = GraphLoader(Residency(UNBOUNDED_BYTES), threads=threads)
        self._graphs = self._open.enter_context(loader.using(self._bundle))
        self._draw = np.random.default_rng(seed)
        self._vocabulary = bundle.semantic.vocabulary - 1
        self._width = bundle.semantic.width
        shape = (bundle.semantic.layers, min(_BEFORE, rows // 2), self._width)
        self._keys, self._values = (self._draw.standard_normal(shape, np.float32) for _ in range(2))
        started = time.perf_counter_ns()
        self._begin()
        self.init_ms = _since_ms(started)
        self.first_ms = self.invoke_ms()

    def invoke_ms(self) -> float:
        """Says one token and returns the time it took."""
        if not self._cache.has_room():
            self._begin()
        token = int(self._draw.integers(0, self._vocabulary))
        row = position_rows(0, 1, self._width)
        started = time.perf_counter_ns()
        self._cache.step(token, row)
        return _since_ms(started)

    def _begin(self) -> None:
        self._cache = TokenCache(self._bundle, self._graphs, self._keys, self._values)


def _since_ms(started_ns: int) -> float:
    return (time.perf_counter_ns() - started_ns) / 1e6
