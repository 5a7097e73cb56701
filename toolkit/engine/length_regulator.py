"""From rows of phones to rows of frames: each phone's row for as long as the phone is said. NumPy only.

A frame's row is the mean of its phones' rows, weighted by how much of the frame each takes: durations need not be whole
frames, and a phone shorter than a frame is not lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

FRAME_MS = 40
"""A semantic code's length: 25 a second."""
_LONGEST_TOLD = 8.0  # frames; how far a phone's end is, is told up to here
_SHORTEST = 1e-2  # frames


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regulation:
    """When a sentence's phones are said.

    Attributes:
        shares: ``[phones, frames] float32``: share of each frame that is each phone's; columns sum to 1.
        timing: ``[4, frames] float32``, of the phone in the middle of each frame: how much of it is over, the natural
            log of its frames, and frames since it began and until it ends, both cut at eight and divided by eight.
    """

    shares: np.ndarray = field(repr=False)
    timing: np.ndarray = field(repr=False)

    @property
    def frames(self) -> int:
        """How many there are."""
        return self.shares.shape[1]


def regulate(durations: np.ndarray, frames: int | None = None) -> Regulation:
    """Places phones on frames.

    Args:
        durations: ``[phones]``, frames of each phone, not below 0; need not be whole.
        frames: how many frames the sentence has; the last phone is made to end there. The rounded sum of the durations
            by default, at least one.

    Raises:
        ValueError: there is no phone, or a duration is no number or below 0.
    """
    given = np.asarray(durations, np.float64).reshape(-1)
    if not len(given) or not np.isfinite(given).all() or given.min() < 0:
        raise ValueError(f"durations of {len(given)} phones, all finite and not below 0, are wanted")
    ends = np.cumsum(given)
    count = max(1, round(float(ends[-1]))) if frames is None else frames
    ends = np.minimum(ends, count)
    ends[-1] = count
    starts = np.concatenate([[0.0], ends[:-1]])
    places = np.arange(count)
    shares = np.minimum(ends[:, None], places + 1) - np.maximum(starts[:, None], places)
    middles = places + 0.5
    phone = np.minimum(np.searchsorted(ends, middles), len(ends) - 1)
    lengths = np.maximum(ends - starts, _SHORTEST)[phone]
    since, until = middles - starts[phone], ends[phone] - middles
    timing = [since / lengths, np.log(lengths), *(np.clip(x, 0, _LONGEST_TOLD) / _LONGEST_TOLD for x in (since, until))]
    return Regulation(shares=np.clip(shares, 0, 1).astype(np.float32), timing=np.stack(timing).astype(np.float32))


def frames_of(log_durations: np.ndarray, length_scale: float = 1.0) -> np.ndarray:
    """Frames of each phone from what the phone encoder tells.

    Args:
        log_durations: natural logs of frames, any shape.
        length_scale: above 1 is slower.
    """
    return np.exp(log_durations.astype(np.float64)) * length_scale
