"""Speed of speech: the statistics of the prior, resampled along time.

Upstream resamples what the last encoder gives and projects it to mean and deviation afterwards. The projection sees one
frame at a time and the weights of an interpolation sum to 1, so resampling after it is the same: no graph knows of the
speed, and at speed 1 nothing is done.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from toolkit.errors import EngineError

SLOWEST: Final = 0.6
FASTEST: Final = 1.65
"""Ends of the slider of upstream's page (``inference_webui.py``): beyond them speech is no speech any more."""


def checked_speed(speed: float) -> float:
    """The speed, if it is one.

    Raises:
        EngineError: not a number, or out of range.
    """
    if not math.isfinite(speed) or not SLOWEST <= speed <= FASTEST:
        raise EngineError(
            f"speed {speed:g} is not within {SLOWEST:g} and {FASTEST:g}",
            code="engine/bad-setting",
            where="speed",
            hint="1 is as the model speaks, 1.25 a quarter faster",
        )
    return speed


def frames_at(speed: float, frames: int) -> int:
    """How many frames so many become. Upstream's ``int(frames / speed) + 1``, and all of them at speed 1."""
    return frames if speed == 1.0 else int(frames / speed) + 1


def most_frames(speed: float, room: int) -> int:
    """The most frames that become no more than ``room``; 0 when there are none."""
    if speed == 1.0:
        return room
    most = math.ceil(room * speed)
    while most > 0 and frames_at(speed, most) > room:
        most -= 1
    return max(most, 0)


def resampled(signal: np.ndarray, length: int) -> np.ndarray:
    """Linear interpolation along time, as ``torch.nn.functional.interpolate(mode="linear")`` does it.

    Args:
        signal: ``[1, channels, frames] float32``.
        length: frames wanted.

    Returns:
        ``[1, channels, length] float32``.
    """
    frames = signal.shape[2]
    # A frame is as wide as its share of the whole; the middles are matched, and nothing is read before the first.
    place = (np.arange(length, dtype=np.float32) + np.float32(0.5)) * np.float32(frames / length) - np.float32(0.5)
    place = np.clip(place, 0, frames - 1).astype(np.float32)
    before = place.astype(np.int64)
    after = np.minimum(before + 1, frames - 1)
    share = (place - before).astype(np.float32)
    return signal[:, :, before] * (1 - share) + signal[:, :, after] * share
