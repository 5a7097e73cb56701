"""The key-value cache of the token loop, written row by row into the step graph's own inputs.

``t2s_step``: token ``[1, 1] int32``, position ``[1, 1, D]``, the cache, attention_bias ``[1, 1, 1, C]`` over its rows
-> logits, k_new and v_new ``[L, 1, 1, D]``. The cache is

* one input for each layer, ``k_cache_0`` and so on, ``[heads, C, width]`` with heads * width = D (heads may be 1), or
* ``k_cache`` and ``v_cache`` ``[L, heads, C, width]`` with all layers. Cutting a layer out of it is a STRIDED_SLICE,
  which TensorFlow Lite does value by value: six layers of width 512 with C = 512 take 27 ms so, and 4.6 ms with an
  input for each layer (8-bit weights, one thread).

That is how the engine sees it. How a file stores it is in its layouts: steps of GPT-SoVITS have ``[heads, width, C]``
(permutation ``[0, 2, 1]`` in engine.json), where a row of keys is a column of the file; in bundles from before
2026-11-30 a row stands together. Kernels gain more by columns than writing one costs: at full size (24 layers, width
512) 0.09 ms a token more with 256 rows, 0.12 with 512, 0.24 with 1024; 3, 6 and 15 ms when a sentence begins, and two
to three times that when it moves. What it brings is in `toolkit.models.gpt_sovits.semantic_parts`.

A graph that puts its new row into the cache before it attends takes write_mask ``[1, 1, C, 1]`` (one-hot: this token's
row), and the bias lets that row be seen; one that attends to cache and new row side by side takes none, and the row is
blocked.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolkit.engine.buckets import bias, smallest
from toolkit.engine.bundle import Bundle, GraphFact
from toolkit.engine.graphs import Graph, GraphSource
from toolkit.errors import EngineError


class TokenCache:
    """Keys and values of one sentence inside the step graph's own inputs; moves to a longer bucket when one is full.

    Args:
        bundle: whose step graphs.
        graphs: gives them.
        keys: ``[L, n, D]`` of text and prompt.
        values: likewise.

    Raises:
        EngineError: no bucket has room for one token more, or a step graph's cache is not as above.
    """

    def __init__(self, bundle: Bundle, graphs: GraphSource, keys: np.ndarray, values: np.ndarray) -> None:
        self._buckets = bundle.of_kind("t2s_step")
        self._layers = bundle.semantic.layers
        self._graphs = graphs
        self._used = 0
        self._graph: Graph | None = None
        self._move(self._bucket(keys.shape[1] + 1, "text and prompt"), keys, values)

    def has_room(self) -> bool:
        """Whether one more token can be said."""
        return self._used < cache_rows(self._buckets[-1])

    def step(self, token: int, position: np.ndarray) -> np.ndarray:
        """Says a token.

        Args:
            token: its id.
            position: ``[1, D]``, its scaled position row.

        Returns:
            ``[V] float32`` logits of the next one.
        """
        if self._used == self._rows:
            self._move(self._bucket(self._used + 1, "the sentence"), self._taken("k"), self._taken("v"))
        place = self._used
        feeds = {"token": np.array([[token]], np.int32), "position": position[None]}
        if "write_mask" in self._graph.fact.tensors:
            feeds["write_mask"] = (np.arange(self._rows) == place).astype(np.float32)[None, None, :, None]
            feeds["attention_bias"] = bias(place + 1, self._rows)
        else:
            feeds["attention_bias"] = bias(place, self._rows)
        found = self._graph.run(feeds)
        self._put("k", found["k_new"][:, 0], place)
        self._put("v", found["v_new"][:, 0], place)
        self._used += 1
        return found["logits"][0]

    def _bucket(self, rows: int, what: str) -> GraphFact:
        for fact in self._buckets:
            cache_rows(fact)  # refuses what would be misread
        return smallest(self._buckets, {_first_cache(self._buckets[0]): (-2, rows)}, what)

    def _move(self, fact: GraphFact, keys: np.ndarray, values: np.ndarray) -> None:
        self._graph = self._graphs(fact)
        self._rows = cache_rows(fact)
        self._heads = fact.tensors[_first_cache(fact)].shape[-3]
        self._put("k", keys, 0)
        self._put("v", values, 0)
        self._used = keys.shape[1]

    def _put(self, which: str, rows: np.ndarray, first: int) -> None:
        """Writes rows ``[L, n, D]`` from row ``first`` on; at row 0 it also clears what an earlier sentence left."""
        end = first + rows.shape[1]
        by_head = rows.reshape(self._layers, end - first, self._heads, -1).transpose(0, 2, 1, 3)
        for layer, placed in enumerate(by_head):

            def write(cache: np.ndarray, placed: np.ndarray = placed) -> None:
                cache[:, first:end] = placed
                if not first:
                    cache[:, end:] = 0.0  # or memory never written, which may hold NaN

            self._edit(which, layer, write)

    def _taken(self, which: str) -> np.ndarray:
        """The rows in use, ``[L, n, D]``."""
        taken: list[np.ndarray] = []
        for layer in range(self._layers):
            self._edit(which, layer, lambda cache: taken.append(cache[:, : self._used].transpose(1, 0, 2).copy()))
        return np.stack([rows.reshape(self._used, -1) for rows in taken])

    def _edit(self, which: str, layer: int, change: Callable[[np.ndarray], None]) -> None:
        """Gives ``change`` a layer's cache, ``[heads, C, width]``, whether layers are stacked in one input or not."""
        whole = f"{which}_cache"
        if whole in self._graph.fact.tensors:
            self._graph.edit(whole, lambda cache: change(cache[layer]))
        else:
            self._graph.edit(f"{whole}_{layer}", change)


def _first_cache(fact: GraphFact) -> str:
    return "k_cache" if "k_cache" in fact.tensors else "k_cache_0"


def cache_rows(fact: GraphFact) -> int:
    """Rows of a step graph's cache.

    Raises:
        EngineError: the graph has none, or its bias is over another number of rows: the cache is laid out otherwise.
    """
    name = _first_cache(fact)
    if name not in fact.tensors or "attention_bias" not in fact.tensors:
        raise EngineError("a step graph without a cache or its bias", code="engine/bundle", where=fact.name)
    rows, seen = fact.tensors[name].shape[-2], fact.tensors["attention_bias"].shape[-1]
    if rows != seen:
        raise EngineError(
            f"{name} has {rows} rows and attention_bias is over {seen}", code="engine/bundle", where=fact.name,
            hint="convert again: another program wrote this bundle, or an older version of this one",
        )  # fmt: skip
    return rows
