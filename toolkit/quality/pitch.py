"""Fundamental frequency: how far a candidate's melody is from its reference's.

F0 by probabilistic YIN (Mauch and Dixon 2014, ICASSP), as librosa has it. Errors as usual in speech synthesis: RMSE in
cents over frames voiced in both, and the share of frames whose voicing differs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from toolkit.quality.resample import JUDGE_RATE_HZ, to_judge_rate

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
_FRAME, _HOP = 1024, 256
_FEWEST_FRAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PitchDifference:
    """What was found.

    Attributes:
        rmse_cents: over frames voiced in both; ``None`` where fewer than five are.
        voicing_error_ratio: share of frames voiced in one and not in the other.
    """

    rmse_cents: float | None
    voicing_error_ratio: float


def pitch(wave: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """``[frames]`` Hz every 16 ms, NaN where there is no voice."""
    import librosa

    heard = to_judge_rate(wave, sample_rate_hz)
    if len(heard) < _FRAME:
        heard = np.pad(heard, (0, _FRAME - len(heard)))
    f0, _, _ = librosa.pyin(
        heard, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, sr=JUDGE_RATE_HZ, frame_length=_FRAME, hop_length=_HOP
    )
    return f0


def pitch_difference(first: np.ndarray, second: np.ndarray) -> PitchDifference:
    """Compares two waveforms' `pitch` ``[frames]`` frame by frame."""
    frames = min(len(first), len(second))
    first, second = first[:frames], second[:frames]
    voiced = np.isfinite(first) & np.isfinite(second)
    rmse = None
    if voiced.sum() >= _FEWEST_FRAMES:
        rmse = math.sqrt(float(np.mean(np.square(1200.0 * np.log2(second[voiced] / first[voiced])))))
    return PitchDifference(
        rmse_cents=rmse, voicing_error_ratio=float(np.mean(np.isfinite(first) != np.isfinite(second)))
    )
