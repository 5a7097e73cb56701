"""Alignment finds durations that are known; a sentence that cannot be aligned is left out."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.data.semantic_corpus import load_corpus
from toolkit.distil.alignment import aligned, monotonic_path
from toolkit.errors import DataError
from toolkit.models.gpt_sovits.semantic_batch import Pair
from toolkit.pipeline.shrink_semantic import DEFAULT_CORPUS


def test_the_path_is_the_best_of_all():
    scores = np.random.default_rng(0).standard_normal((3, 6))
    every = [(a, b) for a in range(1, 5) for b in range(a + 1, 6)]
    paths = [np.repeat([0, 1, 2], [a, b - a, 6 - b]) for a, b in every]
    best = max(paths, key=lambda path: scores[path, np.arange(6)].sum())
    assert monotonic_path(scores).tolist() == best.tolist()


def _made(seed: int) -> Pair:
    """Each phone says one of three codes of its own."""
    draw = np.random.default_rng(seed)
    phones = draw.permutation(8)[:5].astype(np.int32)
    lengths = draw.integers(1, 5, 5)
    said = np.repeat(phones, lengths)
    return Pair(phones=phones, codes=(3 * said + draw.integers(0, 3, len(said))).astype(np.int32),
                durations_ms=(40 * lengths).astype(np.int32))  # fmt: skip


def test_durations_of_clear_speech_are_found():
    pairs = [_made(seed) for seed in range(60)]
    found, others = aligned([replace(pair, durations_ms=None) for pair in pairs[:50]], pairs[50:])
    for before, after in zip(pairs, [*found, *others], strict=True):
        assert after.durations_ms.tolist() == before.durations_ms.tolist()


def test_the_small_model_s_corpus_is_aligned_to_within_a_frame():
    corpus = load_corpus(DEFAULT_CORPUS)
    real = corpus.training[:300]
    (found,) = aligned([replace(pair, durations_ms=None) for pair in real])

    def off(pairs):
        ends = [(np.cumsum(a.durations_ms) - np.cumsum(b.durations_ms))[:-1] for a, b in zip(pairs, real, strict=True)]
        return float(np.abs(np.concatenate(ends)).mean())

    even = [replace(pair, durations_ms=np.full(len(pair.phones), pair.durations_ms.sum() / len(pair.phones)))
            for pair in real]  # fmt: skip
    assert off(found) < 45 < off(even), "milliseconds; 34 with the whole corpus"


def test_sentences_with_fewer_codes_than_phones_are_left_out():
    short = Pair(phones=np.arange(4, dtype=np.int32), codes=np.arange(3, dtype=np.int32))
    assert len(aligned([_made(0), short])[0]) == 1
    with pytest.raises(DataError) as caught:
        aligned([short])
    assert caught.value.code == "data/unusable"
