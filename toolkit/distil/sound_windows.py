"""Pieces of a teacher's sound, with what a decoder is asked about to make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from toolkit.distil.decoder_teacher import TaughtSound
from toolkit.errors import DataError

_WINDOW_FRAMES: Final = 40
_WINDOW_SAMPLES: Final = 2048
"""At least so many are compared, whatever the voice's hop: the longest spectrum has 1024."""
EDGE_FRAMES: Final = 4
"""At each end of a window, where the student lacks the context the teacher had: heard, not judged."""


class SoundWindows:
    """Pieces of what a teacher said; which ones depends on the seed and the step only.

    Args:
        taught: what it said.
        rate: steps of its features a frame.
        hop: audio samples a frame.
        asked_by: command that wants them, for the error.

    Raises:
        DataError: no sentence is as long as a window.
    """

    def __init__(self, taught: Sequence[TaughtSound], rate: int, hop: int, asked_by: str) -> None:
        self.frames = max(_WINDOW_FRAMES, -(-_WINDOW_SAMPLES // hop) + 2 * EDGE_FRAMES)
        self.taught = [each for each in taught if each.frames >= self.frames]
        self.rate, self.hop = rate, hop
        if not self.taught:
            raise DataError(
                f"no sentence is {self.frames} frames long",
                code="data/too-little",
                where=f"{asked_by} → decoder",
                hint="teach with more or longer sentences",
            )
        lengths = np.array([each.frames - self.frames + 1 for each in self.taught], dtype=np.float64)
        self.shares = lengths / lengths.sum()

    def batch(self, size: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """``[batch, channels, steps]`` and ``[batch, samples]`` float32."""
        choose = np.random.default_rng([seed, step])
        places = choose.choice(len(self.taught), size=size, p=self.shares)
        steps, audio = [], []
        for place in places:
            each = self.taught[int(place)]
            start = int(choose.integers(each.frames - self.frames + 1))
            end = start + self.frames
            steps.append(each.steps[:, start * self.rate : end * self.rate])
            audio.append(each.audio[start * self.hop : end * self.hop])
        return tuple(torch.from_numpy(np.stack(each).astype(np.float32)) for each in (steps, audio))
