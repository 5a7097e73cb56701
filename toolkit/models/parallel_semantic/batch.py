"""Several sentences at once through the convolutional student, for training and for judging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from toolkit.engine.length_regulator import FRAME_MS, regulate
from toolkit.models.gpt_sovits.semantic_batch import NOTHING, Pair
from toolkit.models.parallel_semantic.config import TIMING_ROWS
from toolkit.models.parallel_semantic.model import ParallelSemantic

_SHORTEST = 0.125
"""Frames; a phone of no length has no logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimedBatch:
    """Padded sentences with the durations they were said with.

    Attributes:
        phones: ``[batch, Tx]``.
        phone_mask: ``[batch, 1, Tx]``, 0 in padding.
        log_durations: ``[batch, 1, Tx]``, natural logs of frames.
        shares: ``[batch, Tx, Ty]``; see ``length_regulator.Regulation``.
        timing: ``[batch, TIMING_ROWS, Ty]``; likewise.
        frame_mask: ``[batch, 1, Ty]``.
        targets: ``[batch, Ty]`` codes; ``NOTHING`` in padding.
    """

    phones: Tensor = field(repr=False)
    phone_mask: Tensor = field(repr=False)
    log_durations: Tensor = field(repr=False)
    shares: Tensor = field(repr=False)
    timing: Tensor = field(repr=False)
    frame_mask: Tensor = field(repr=False)
    targets: Tensor = field(repr=False)

    @property
    def predicted(self) -> Tensor:
        """The codes, ``[n]``, sentence after sentence."""
        return self.targets[self.targets != NOTHING]


def timed_batch(pairs: Sequence[Pair]) -> TimedBatch:
    """Pads sentences to the longest.

    Raises:
        ValueError: a sentence has no durations.
    """
    text, said, count = max(len(p.phones) for p in pairs), max(len(p.codes) for p in pairs), len(pairs)
    phones, targets = np.zeros((count, text), np.int64), np.full((count, said), NOTHING, np.int64)
    phone_mask, frame_mask = np.zeros((count, 1, text), np.float32), np.zeros((count, 1, said), np.float32)
    shares, timing = np.zeros((count, text, said), np.float32), np.zeros((count, TIMING_ROWS, said), np.float32)
    logs = np.zeros((count, 1, text), np.float32)
    for row, pair in enumerate(pairs):
        n, m = len(pair.phones), len(pair.codes)
        durations = pair.told_durations_ms / FRAME_MS
        placed = regulate(durations, m)
        phones[row, :n], targets[row, :m] = pair.phones, pair.codes
        phone_mask[row, 0, :n], frame_mask[row, 0, :m] = 1.0, 1.0
        shares[row, :n, :m], timing[row, :, :m] = placed.shares, placed.timing
        logs[row, 0, :n] = np.log(np.maximum(durations, _SHORTEST))
    arrays = (phones, phone_mask, logs, shares, timing, frame_mask, targets)
    names = ("phones", "phone_mask", "log_durations", "shares", "timing", "frame_mask", "targets")
    return TimedBatch(**{name: torch.from_numpy(array) for name, array in zip(names, arrays, strict=True)})


def batch_said(model: ParallelSemantic, batch: TimedBatch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
    """What the model says of sentences whose durations are given.

    Args:
        model: the model.
        batch: the sentences.
        dropout: share of features dropped; 0 to judge.

    Returns:
        Logits ``[n, codes]`` of every frame, in the order of ``batch.predicted``, and natural logs of durations
        ``[batch, 1, Tx]``.
    """
    rows, log_durations = model.phones(batch.phones, batch.phone_mask)
    logits = model.frames(rows @ batch.shares, batch.timing, batch.frame_mask, dropout)
    return logits.transpose(1, 2)[batch.targets != NOTHING], log_durations
