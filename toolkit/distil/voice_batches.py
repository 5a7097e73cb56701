"""Sentences of different lengths side by side, as torch takes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def side_by_side(arrays: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Pads the last axis with zeros to the longest.

    Args:
        arrays: ``[..., time]`` each, equal but for the time.

    Returns:
        ``[batch, ..., time]`` float32, and the mask ``[batch, 1, time]``.
    """
    longest = max(array.shape[-1] for array in arrays)
    padded = np.zeros((len(arrays), *arrays[0].shape[:-1], longest), dtype=np.float32)
    mask = np.zeros((len(arrays), 1, longest), dtype=np.float32)
    for place, array in enumerate(arrays):
        padded[place, ..., : array.shape[-1]] = array
        mask[place, 0, : array.shape[-1]] = 1.0
    return torch.from_numpy(padded), torch.from_numpy(mask)


def ids_side_by_side(sentences: Sequence[np.ndarray], shortest: int = 0) -> tuple[Tensor, Tensor]:
    """Phoneme ids ``[batch, phonemes]`` int32 and their mask; at least ``shortest`` long."""
    padded, mask = side_by_side([*sentences, np.zeros(shortest, dtype=np.int32)])
    return padded[: len(sentences)].to(torch.int32), mask[: len(sentences)]
