"""What the tests of a pruned voice's parts have in common: a run, one that is interrupted, one that does harm."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.models.seeded import seeded_voice
from toolkit.models.voice import Voice
from toolkit.prune import voice_part
from toolkit.prune.voice import PrunedVoice, prune_voice
from toolkit.recipe.shrinking import PruneVoice, checked


class _Interrupted(Exception):
    pass


def pruner(
    settings: dict[str, Any], sentences: Sequence[np.ndarray], held_out: Sequence[np.ndarray]
) -> Callable[..., PrunedVoice]:
    """Prunes a small voice with these settings, apart from what a call changes."""

    def pruned(
        voice: Voice | None = None, *, folder: Path | None = None, hear: Any = None, on_step: Any = None, **changes: Any
    ) -> PrunedVoice:
        return prune_voice(
            voice or seeded_voice(), checked(PruneVoice, settings | changes), sentences, held_out,
            hear=hear, checkpoint_dir=folder, on_step=on_step,
        )  # fmt: skip

    return pruned


def gone_on(
    pruned: Callable[..., Any], folder: Path, stop: Callable[[int, int], bool], **changes: Any
) -> tuple[Any, list[int]]:
    """A run that is interrupted where ``stop(step, steps)`` says so: what came of it at last, steps trained since."""

    def interrupt(step: int, steps: int, loss: float) -> None:
        if stop(step, steps):
            raise _Interrupted

    with pytest.raises(_Interrupted):
        pruned(folder=folder, on_step=interrupt, **changes)
    trained: list[int] = []
    return pruned(folder=folder, on_step=lambda step, steps, loss: trained.append(step), **changes), trained


def train_carelessly(monkeypatch: pytest.MonkeyPatch, voice: Voice, part: str) -> None:
    """From here on every training also moves a tensor of another part."""
    train = voice_part.train_module

    def careless(*arguments: Any, **named: Any) -> list[float]:
        next(itertools.islice(voice.modules[part].parameters(), 3, None)).add_(1e-3)
        return train(*arguments, **named)

    monkeypatch.setattr(voice_part, "train_module", careless)
