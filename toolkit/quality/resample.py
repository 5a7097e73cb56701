"""Resampling to the 16 kHz the judges listen at."""

from __future__ import annotations

import numpy as np

JUDGE_RATE_HZ = 16000


def to_judge_rate(wave: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """``[samples]`` float32 at 16 kHz."""
    import soxr

    if sample_rate_hz == JUDGE_RATE_HZ:
        return wave.astype(np.float32)
    return soxr.resample(wave.astype(np.float32), sample_rate_hz, JUDGE_RATE_HZ, quality="HQ").astype(np.float32)
