"""Sinusoidal positions, as GPT-SoVITS adds them: sine and cosine interleaved, from 0, for text and audio each."""

from __future__ import annotations

import math

import numpy as np


def position_rows(first: int, count: int, width: int) -> np.ndarray:
    """Rows of the position table.

    Computed in float32 step by step as upstream does, so that the rows differ from its table by rounding only.

    Args:
        first: position of the first row, 0-based.
        count: how many rows.
        width: features of the model; even.

    Returns:
        ``[count, width] float32``.
    """
    position = np.arange(first, first + count, dtype=np.float32)[:, None]
    step = np.float32(-math.log(10000.0) / width)
    rate = np.exp(np.arange(0, width, 2, dtype=np.float32) * step)
    rows = np.empty((count, width), np.float32)
    rows[:, 0::2] = np.sin(position * rate)
    rows[:, 1::2] = np.cos(position * rate)
    return rows
