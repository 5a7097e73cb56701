"""Text to semantic codes: prefill, then one step per token with a key-value cache that never grows.

The graphs have static shapes. The text and the prompt stand in rows of the prefill bucket, text from row 0 and prompt
from row ``N_text``; the rows of keys and values that mean something are then copied, close together, into the cache of
the step graph. Attention does not care where a row stands: the position is inside its values.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from toolkit.engine.buckets import BLOCKED, filled, smallest
from toolkit.engine.bundle import Bundle, GraphFact
from toolkit.engine.cache import TokenCache
from toolkit.engine.graphs import GraphSource
from toolkit.engine.positions import position_rows
from toolkit.engine.sampling import Sampler
from toolkit.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SemanticCodes:
    """What one sentence was turned into.

    Attributes:
        codes: ``[n] int32``, 25 a second, the stop token not among them.
        stopped: ``stop`` when the model ended the sentence, ``limit`` when the bundle's lengths did.
        prefill_seconds: time of the prefill.
        step_seconds: time of all steps.
    """

    codes: np.ndarray = field(repr=False)
    stopped: Literal["stop", "limit"]
    prefill_seconds: float
    step_seconds: float


class SemanticDecoder:
    """Runs the text-to-semantic graphs of a bundle.

    ``t2s_prefill``: phones ``[1, N_text] int32``, bert ``[1, 1024, N_text]`` (left out of bundles without text
    features), prompts ``[1, N_prompt] int32``, attention_bias ``[1, 1, S, S]``, positions ``[1, S, D]``, last_row
    ``[1, 1, S]`` (one-hot: the row whose logits are wanted); S = N_text + N_prompt -> logits, k and v ``[L, 1, S, D]``.
    ``t2s_step``: see ``cache``.

    Args:
        bundle: its sizes.
        graphs: gives graphs.
        clock: seconds, monotonic.
    """

    def __init__(self, bundle: Bundle, graphs: GraphSource, clock: Callable[[], float] = time.perf_counter) -> None:
        self._bundle = bundle
        self._facts = bundle.semantic
        self._graphs = graphs
        self._clock = clock

    def decode(
        self,
        phones: np.ndarray,
        prompt: np.ndarray,
        sampler: Sampler,
        *,
        bert: np.ndarray | None = None,
        limit: int | None = None,
    ) -> SemanticCodes:
        """Codes of a sentence.

        Args:
            phones: ``[Tx] int32``: the reference's phones, then the sentence's.
            prompt: ``[Ty] int32``: codes of the reference; may be empty.
            sampler: draws the tokens.
            bert: ``[1024, Tx] float32`` text features; zeros when there are none.
            limit: most codes wanted; the model's own limit otherwise.

        Raises:
            EngineError: an id is out of range, or no bucket is long enough.
        """
        self._check(phones, prompt)
        started = self._clock()
        logits, keys, values = self._prefill(phones, prompt, bert)
        prefilled = self._clock()
        cache = TokenCache(self._bundle, self._graphs, keys, values)
        del keys, values  # the cache has them; at full size they are tens of megabytes
        said = np.concatenate([prompt, np.empty(0, np.int32)]).astype(np.int32)
        most = min(self._facts.steps_max, limit or self._facts.steps_max)
        stopped: Literal["stop", "limit"] = "limit"
        for step in range(most + 1):
            # The stop token cannot be drawn at first; upstream cuts its column off, so it loses no probability to it.
            choices = logits[:-1] if step < self._facts.steps_min else logits
            token, likeliest = sampler.next(choices, said)
            if self._facts.stop_token in (token, likeliest):
                stopped = "stop"
                break
            if step == most:
                break
            said = np.append(said, np.int32(token))
            if not cache.has_room():
                break
            row = position_rows(len(said) - 1, 1, self._facts.width) * np.float32(self._facts.audio_alpha)
            logits = cache.step(token, row)
        return SemanticCodes(
            codes=said[len(prompt) :],
            stopped=stopped,
            prefill_seconds=prefilled - started,
            step_seconds=self._clock() - prefilled,
        )

    def logits(self, phones: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """What the graphs think of codes that are given, each after those before it: teacher forcing.

        Args:
            phones: ``[n] int32``.
            codes: ``[m] int32``, without the stop token.

        Returns:
            ``[m + 1, V] float32``: before the first code, after each, the last where the stop token should follow.

        Raises:
            EngineError: an id is out of range, or no bucket is long enough.
        """
        self._check(phones, codes)
        first, keys, values = self._prefill(phones, codes[:0], None)
        cache = TokenCache(self._bundle, self._graphs, keys, values)
        found = [np.array(first)]
        for place, code in enumerate(codes):
            if not cache.has_room():
                raise EngineError(
                    f"{len(phones)} phones and {len(codes)} codes are longer than the longest cache",
                    code="engine/too-long",
                    where=self._bundle.label,
                    hint="convert with more gpt_sovits.cache_rows",
                )
            row = position_rows(place, 1, self._facts.width) * np.float32(self._facts.audio_alpha)
            found.append(np.array(cache.step(int(code), row)))
        return np.stack(found)

    def _check(self, phones: np.ndarray, prompt: np.ndarray) -> None:
        for name, ids, count in (
            ("phone", phones, self._bundle.symbols),
            ("prompt code", prompt, self._facts.stop_token),
        ):
            if ids.size and (ids.min() < 0 or ids.max() >= count):
                raise EngineError(
                    f"{name} ids are {ids.min()}..{ids.max()}, the model knows 0..{count - 1}",
                    code="engine/bad-ids",
                    where=self._bundle.label,
                    hint="the phones or the voice belong to another version of the model",
                )
        if not phones.size:
            raise EngineError("no phones", code="engine/nothing-to-say", where=self._bundle.label)

    def _prefill(
        self, phones: np.ndarray, prompt: np.ndarray, bert: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        text, audio = len(phones), len(prompt)
        fact = _prefill_graph(self._bundle, text, audio)
        text_rows, rows = fact.tensors["phones"].shape[1], fact.tensors["attention_bias"].shape[-1]
        last_row = text_rows + audio - 1 if audio else text - 1
        feeds = {
            "phones": filled(phones[None], text_rows),
            "prompts": filled(prompt[None], rows - text_rows),
            "attention_bias": prefill_bias(text, audio, text_rows, rows),
            "positions": self._positions(text, audio, text_rows, rows),
            "last_row": (np.arange(rows) == last_row).astype(np.float32)[None, None],
        }
        if "bert" in fact.tensors:
            width = fact.tensors["bert"].shape[1]
            given = np.zeros((width, text), np.float32) if bert is None else bert
            if len(given) != width:
                raise EngineError(
                    f"text features are {len(given)} wide, the bundle takes {width}",
                    code="engine/voice-mismatch",
                    where=self._bundle.label,
                    hint="enrol the voice with the BERT of this model",
                )
            feeds["bert"] = filled(given[None], text_rows)
        elif bert is not None and bert.any():
            raise EngineError("the bundle takes no text features", code="engine/graph", where=fact.name)
        found = self._graphs(fact).run(feeds)
        valid = np.r_[0:text, text_rows : text_rows + audio]
        return found["logits"][0], found["k"][:, 0, valid], found["v"][:, 0, valid]

    def _positions(self, text: int, audio: int, text_rows: int, rows: int) -> np.ndarray:
        facts = self._facts
        placed = np.zeros((1, rows, facts.width), np.float32)
        placed[0, :text] = position_rows(0, text, facts.width) * np.float32(facts.text_alpha)
        placed[0, text_rows : text_rows + audio] = position_rows(0, audio, facts.width) * np.float32(facts.audio_alpha)
        return placed


def prefill_bytes(bundle: Bundle, text: int, audio: int) -> int:
    """What a prefill takes for a moment beside its graph: keys and values as read, and the rows that are kept.

    Args:
        bundle: its graphs.
        text: phones of the reference and the sentence.
        audio: codes of the reference.

    Raises:
        EngineError: no bucket is long enough.
    """
    tensors = _prefill_graph(bundle, text, audio).tensors
    return 2 * sum(int(np.prod(tensors[name].shape)) * np.dtype(tensors[name].dtype).itemsize for name in "kv")


def _prefill_graph(bundle: Bundle, text: int, audio: int) -> GraphFact:
    return smallest(bundle.of_kind("t2s_prefill"), {"phones": (1, text), "prompts": (1, audio)}, "the sentence")


def prefill_bias(text: int, audio: int, text_rows: int, rows: int) -> np.ndarray:
    """What each row of the prefill attends to, as numbers to add to the scores.

    Text sees all text and no audio; audio sees all text and the audio up to itself. Rows that stand for nothing see the
    text, so that their softmax is finite; nobody sees them.

    Args:
        text: phones there are.
        audio: prompt codes there are.
        text_rows: rows kept for phones.
        rows: all rows.

    Returns:
        ``[1, 1, rows, rows] float32`` of 0 and ``BLOCKED``.
    """
    blocked = np.full((rows, rows), BLOCKED, np.float32)
    blocked[:, :text] = 0.0
    first = text_rows
    causal = np.where(np.tri(audio, dtype=bool), np.float32(0), BLOCKED)
    blocked[first : first + audio, first : first + audio] = causal
    return blocked[None, None]
