"""Speaker identity: d-vectors of waveforms and the cosine between two (resemblyzer, a 3-layer LSTM)."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np

from toolkit.quality.extras import load_judge
from toolkit.quality.resample import to_judge_rate


@lru_cache(maxsize=1)
def _judge() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports a scipy name that moved
        package = load_judge("resemblyzer", "speaker similarity")
    return package.VoiceEncoder("cpu", verbose=False)


def speaker_vector(wave: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """The d-vector of an utterance.

    Args:
        wave: ``[samples]``.
        sample_rate_hz: its sample rate.

    Returns:
        ``[256]`` float32 of length 1.

    Raises:
        ExtraMissing: resemblyzer is not installed.
    """
    judge = _judge()
    package = load_judge("resemblyzer", "speaker similarity")
    heard = np.clip(to_judge_rate(wave, sample_rate_hz), -1.0, 1.0)
    if not heard.any():
        return np.zeros(256, dtype=np.float32)  # silence has no speaker
    speech = package.preprocess_wav(heard)
    # Its detector may find no speech in a badly broken waveform; the judge then hears all of it.
    return judge.embed_utterance(speech if len(speech) else heard)


def speaker_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine between two d-vectors ``[256]``; 1 is the same voice, 0 where one is of silence."""
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norms if norms else 0.0
