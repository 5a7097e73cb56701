"""Distances between two waveforms of the same length, sample by sample."""

from __future__ import annotations

import math

import numpy as np


def snr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Signal-to-noise ratio in dB, the difference being the noise; ``inf`` for identical arrays."""
    signal = float(np.sum(np.square(reference, dtype=np.float64)))
    noise = float(np.sum(np.square(np.subtract(candidate, reference, dtype=np.float64))))
    if noise == 0.0:
        return math.inf
    return -math.inf if signal == 0.0 else 10.0 * math.log10(signal / noise)


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of the angle between two arrays; 0 when one of them is all zeros and the other is not."""
    a, b = first.astype(np.float64).ravel(), second.astype(np.float64).ravel()
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norms == 0.0:
        return 1.0 if not a.any() and not b.any() else 0.0
    return float(a @ b) / norms


def max_abs(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Largest absolute difference."""
    return float(np.max(np.abs(np.subtract(candidate, reference, dtype=np.float64)), initial=0.0))
