"""When each phone is said, of sentences that come with codes only: as of recordings.

Each phone is a state that says codes by a table, and lasts one frame at least. Tables and alignments are found in turn,
from equal lengths on (Viterbi training of a hidden Markov model: Juang and Rabiner 1990, IEEE Trans. ASSP 38). The
monotonic search is that of Glow-TTS (Kim et al. 2020, arXiv:2005.11129), over what the tables say instead of a network.

Attention of a trained text-to-semantic model is too diffuse to tell durations from: it was tried on the small model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from toolkit.engine.length_regulator import FRAME_MS
from toolkit.errors import DataError
from toolkit.models.gpt_sovits.semantic_batch import Pair

_ROUNDS: Final = 8
_PRIOR_COUNT: Final = 20.0
"""Frames' worth of what all phones say, in each phone's table: rare phones have seen few codes."""


def aligned(pairs: Sequence[Pair], *others: Sequence[Pair], where: str = "training data") -> list[list[Pair]]:
    """Sentences with durations.

    Args:
        pairs: what the tables are made of.
        others: aligned with the same tables; nothing is learned of them.
        where: for the error.

    Returns:
        ``pairs`` and ``others``; sentences of fewer codes than phones, which cannot be aligned, are left out.

    Raises:
        DataError: no sentence of ``pairs`` has as many codes as phones.
    """
    usable = [[pair for pair in group if len(pair.codes) >= len(pair.phones)] for group in (pairs, *others)]
    if not usable[0]:
        raise DataError(
            "no sentence has as many codes as phones, so none can be aligned", code="data/unusable", where=where,
            hint="the codes must be 25 a second of the speech the phones are of",
        )  # fmt: skip
    symbols = 1 + max(int(pair.phones.max()) for group in usable for pair in group)
    codes = 1 + max(int(pair.codes.max()) for group in usable for pair in group)
    paths = [_even(pair) for pair in usable[0]]
    for _ in range(_ROUNDS):
        table = _tables(usable[0], paths, symbols, codes)
        paths = [_path(pair, table) for pair in usable[0]]
    found = [paths, *([_path(pair, table) for pair in group] for group in usable[1:])]
    return [[_timed(pair, path) for pair, path in zip(group, of, strict=True)]
            for group, of in zip(usable, found, strict=True)]  # fmt: skip


def monotonic_path(scores: np.ndarray) -> np.ndarray:
    """The best way through: from the first state to the last, each for one frame at least, none twice.

    Args:
        scores: ``[states, frames]`` log-likelihoods, at least as many frames as states.

    Returns:
        ``[frames]`` state of each frame.
    """
    states, frames = scores.shape
    best = np.full(states, -np.inf)
    best[0] = scores[0, 0]
    moved = np.zeros((frames, states), bool)
    for frame in range(1, frames):
        before = np.concatenate([[-np.inf], best[:-1]])
        moved[frame] = before > best
        best = np.maximum(before, best) + scores[:, frame]
    path = np.empty(frames, np.int64)
    state = states - 1
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state -= int(moved[frame, state])
    return path


def _even(pair: Pair) -> np.ndarray:
    """Every phone as long as any other."""
    return np.arange(len(pair.codes)) * len(pair.phones) // len(pair.codes)


def _path(pair: Pair, table: np.ndarray) -> np.ndarray:
    return monotonic_path(table[pair.phones][:, pair.codes])


def _tables(pairs: Sequence[Pair], paths: Sequence[np.ndarray], symbols: int, codes: int) -> np.ndarray:
    """Log-probability of each code of each phone, ``[symbols, codes]``."""
    counts = np.zeros((symbols, codes))
    for pair, path in zip(pairs, paths, strict=True):
        np.add.at(counts, (pair.phones[path], pair.codes), 1.0)
    whole = counts.sum(axis=0) + 1.0
    counts += _PRIOR_COUNT * whole / whole.sum()
    return np.log(counts / counts.sum(axis=1, keepdims=True))


def _timed(pair: Pair, path: np.ndarray) -> Pair:
    counts = np.bincount(path, minlength=len(pair.phones))
    return replace(pair, durations_ms=(counts * FRAME_MS).astype(np.int32))
