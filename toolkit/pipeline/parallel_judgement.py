"""How well a converted convolutional student tells codes and durations: the files themselves, as a phone runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.engine.bundle import bundle_folder, read_bundle
from toolkit.engine.length_regulator import FRAME_MS
from toolkit.engine.loading import GraphLoader
from toolkit.engine.parallel_codes import ParallelDecoder
from toolkit.engine.residency import UNBOUNDED_BYTES, Residency
from toolkit.quality.cross_entropy import summed_cross_entropy

if TYPE_CHECKING:
    from toolkit.models.gpt_sovits.semantic_batch import Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedQuality:
    """What was found.

    Attributes:
        cross_entropy_nats: of each code, durations given.
        top1_ratio: share in which the likeliest code is the right one.
        duration_error_ms: mean absolute error of a phone's own duration.
        length_ratio: all sentences together, said over real.
        codes: how many there were.
        sentences: likewise.
        durations: where the real ones come from: ``data`` or ``alignment``.
    """

    cross_entropy_nats: float
    top1_ratio: float
    duration_error_ms: float
    length_ratio: float
    codes: int
    sentences: int
    durations: str = "data"


def judge_data(folder: Path, data: Path, *, threads: int = 1) -> ConvertedQuality:
    """Judges a bundle on a corpus's held-out sentences; durations the corpus has not are found by alignment.

    Args:
        folder: a bundle, or a run directory with one.
        data: see ``load_corpus``.
        threads: of the interpreters.

    Raises:
        DataError: the data is missing, damaged or of another model, or cannot be aligned.
        EngineError: no bundle, a damaged one, or a sentence is longer than its graphs.
    """
    from toolkit.data.semantic_corpus import load_corpus
    from toolkit.distil.parallel_semantic import timed_corpus

    bundle = read_bundle(bundle_folder(folder))
    corpus = load_corpus(data, bundle.symbols)
    corpus.check(bundle.symbols, bundle.semantic.stop_token, str(data))
    timed = timed_corpus(corpus, str(data))
    return replace(judge_converted(folder, timed.corpus.held_out, threads=threads), durations=timed.durations)


def judge_converted(
    folder: Path,
    pairs: Sequence[Pair],
    *,
    threads: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> ConvertedQuality:
    """Judges a bundle as ``toolkit.quality.parallel_semantic`` judges a torch model.

    Args:
        folder: a bundle, or a run directory with one.
        pairs: held-out sentences with durations, at least one.
        threads: of the interpreters.
        on_progress: told after every sentence.

    Raises:
        EngineError: no bundle, a damaged one, or a sentence is longer than its graphs.
        ValueError: a sentence has no durations.
    """
    bundle = read_bundle(bundle_folder(folder))
    loss, right, count, off, phones, said, real = 0.0, 0, 0, 0.0, 0, 0.0, 0.0
    with GraphLoader(Residency(UNBOUNDED_BYTES), threads=threads).using(bundle) as graphs:
        decoder = ParallelDecoder(bundle, graphs)
        for number, pair in enumerate(pairs, 1):
            durations_ms, heard = pair.told_durations_ms, decoder.read(pair.phones)
            logits = decoder.logits(heard, durations_ms / FRAME_MS, len(pair.codes))
            loss += summed_cross_entropy(logits, pair.codes)
            right, count = right + int((logits.argmax(axis=1) == pair.codes).sum()), count + len(pair.codes)
            own = heard.durations * FRAME_MS
            off, phones = off + float(np.abs(own - durations_ms).sum()), phones + len(own)
            said, real = said + float(own.sum()), real + float(durations_ms.sum())
            if on_progress is not None:
                on_progress(number, len(pairs))
    return ConvertedQuality(
        cross_entropy_nats=loss / count, top1_ratio=right / count, duration_error_ms=off / phones,
        length_ratio=said / real, codes=count, sentences=len(pairs),
    )  # fmt: skip
