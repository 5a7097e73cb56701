"""Predicted mean opinion score, 1 to 5 (DistillMOS, a CNN and transformer distilled from XLS-R)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from converters import frameworks
from toolkit.quality.extras import load_judge, stub_torchaudio
from toolkit.quality.resample import to_judge_rate

WINDOW_SAMPLES = 122880
"""The judge hears 7.68 s at a time; shorter utterances are padded with silence."""
BATCH = 8


@lru_cache(maxsize=1)
def _judge() -> Any:
    # It announces its weights on stdout, which belongs to the command line.
    with stub_torchaudio(), contextlib.redirect_stdout(io.StringIO()):
        model = load_judge("distillmos", "predicted opinion").ConvTransformerSQAModel()
    return model.eval().requires_grad_(False)


def mean_opinion(waves: Sequence[np.ndarray], sample_rate_hz: int) -> list[float]:
    """Predicted opinion of each utterance.

    Args:
        waves: ``[samples]`` each.
        sample_rate_hz: their sample rate.

    Returns:
        One score each, between 1 and 5.

    Raises:
        ExtraMissing: distillmos is not installed.
    """
    torch = frameworks.torch()
    judge = _judge()
    heard = [to_judge_rate(wave, sample_rate_hz) for wave in waves]
    scores: dict[int, float] = {}
    short = [index for index, wave in enumerate(heard) if len(wave) <= WINDOW_SAMPLES]
    with torch.inference_mode():
        for start in range(0, len(short), BATCH):
            chosen = short[start : start + BATCH]
            batch = np.stack([np.pad(heard[index], (0, WINDOW_SAMPLES - len(heard[index]))) for index in chosen])
            scores |= dict(zip(chosen, judge(torch.from_numpy(batch))[:, 0].tolist(), strict=True))
        for index in range(len(heard)):
            if index not in scores:  # longer than the window: the judge slides over it
                scores[index] = float(judge(torch.from_numpy(heard[index][None]))[0, 0])
    return [scores[index] for index in range(len(heard))]
