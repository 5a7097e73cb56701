"""The training loop of every student: AdamW, warm-up and cosine decay, averaged weights; deterministic and resumable.

What a step sees may depend on the seed and the step's number only: a run that was interrupted ends with the numbers of
one that was not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.errors import GateFailed
from toolkit.recipe.shrinking import Training
from toolkit.whole_file import whole_file

StepProgress = Callable[[int, int, float], None]
"""``on_progress(step, steps, loss)`` after every step."""


class Companion(Protocol):
    """What learns beside the model in `loss_of`, and is kept with it: a module or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """Everything a later run needs."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Takes it up."""


CHECKPOINT: Final = "training.pt"
_NEIGHBOURS: Final = 8
_LARGEST_SLOPE: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How to train.

    Attributes:
        steps: optimiser steps.
        batch: sentences a step.
        learning_rate: the largest.
        warmup_ratio: share of the steps in which it rises.
        final_ratio: of the largest learning rate, at the end.
        weight_decay: of matrices; vectors are not decayed.
        dropout: share of features dropped.
        average_decay: of the running average of the weights, which is what remains; 0 is no average.
        seed: of batches and dropout.
        checkpoint_every_steps: how often a later run could go on from here.
    """

    steps: int
    batch: int = 16
    learning_rate: float = 1e-3
    warmup_ratio: float = 0.05
    final_ratio: float = 0.02
    weight_decay: float = 0.05
    dropout: float = 0.1
    average_decay: float = 0.99
    seed: int = 0
    checkpoint_every_steps: int = 50


def training_settings(told: Training, seed: int) -> TrainingSettings:
    """Settings as a command or recipe gives them."""
    return TrainingSettings(**told.model_dump(), seed=seed)


def train_module(
    model: nn.Module,
    settings: TrainingSettings,
    loss_of: Callable[[int], Tensor],
    *,
    identity: str,
    task: str,
    checkpoint_dir: Path | None = None,
    on_progress: StepProgress | None = None,
    companions: Mapping[str, Companion] | None = None,
) -> list[float]:
    """Trains in place; the model is left in inference mode, without gradients.

    Args:
        model: what is trained; all of it.
        settings: how.
        loss_of: the loss of a step's number; torch's random numbers were seeded by it.
        identity: digest of what is asked, of the weights it starts from and of the data: only a checkpoint of the same
            is taken up.
        task: what is learned, for the error.
        checkpoint_dir: where to keep a checkpoint, and to look for one.
        on_progress: told after every step.
        companions: what ``loss_of`` itself trains; it is in the checkpoint too.

    Returns:
        The loss of every step.

    Raises:
        GateFailed: the loss is no number any more.
    """
    model.train().requires_grad_(True)
    state = _State(model, settings, identity, companions or {})
    first, losses = state.restore(checkpoint_dir)
    for step in range(first, settings.steps):
        torch.manual_seed(settings.seed * 1_000_003 + step)
        found = loss_of(step)
        state.move(found, step)
        losses.append(float(found.detach()))
        if not math.isfinite(losses[-1]):
            raise GateFailed(
                f"training diverged in step {step + 1} of {settings.steps}",
                code="train/diverged",
                where=task,
                hint="lower the learning rate (--rate)",
            )
        if on_progress is not None:
            on_progress(step + 1, settings.steps, losses[-1])
        if checkpoint_dir is not None and (step + 1) % settings.checkpoint_every_steps == 0:
            state.save(checkpoint_dir, step + 1, losses)
    state.use_average()
    model.eval().requires_grad_(False)
    return losses


class _State:
    """The optimiser, the running average, and both on disk."""

    def __init__(
        self, model: nn.Module, settings: TrainingSettings, identity: str, companions: Mapping[str, Companion]
    ) -> None:
        self.model, self.settings, self.identity, self.companions = model, settings, identity, companions
        named = list(model.named_parameters())
        decayed = [value for _, value in named if value.ndim > 1]
        others = [value for _, value in named if value.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
        )
        self.average = {name: value.detach().clone() for name, value in named}

    def move(self, loss: Tensor, step: int) -> None:
        """One step."""
        settings = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate_share(step, settings)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), _LARGEST_SLOPE)
        self.optimiser.step()
        # A short run must not be held back by where it started.
        decay = min(settings.average_decay, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                self.average[name].lerp_(value, 1.0 - decay)

    def use_average(self) -> None:
        """Puts the averaged weights in place."""
        if self.settings.average_decay and self.settings.steps:
            with torch.no_grad():
                for name, value in self.model.named_parameters():
                    value.copy_(self.average[name])

    def save(self, directory: Path, step: int, losses: list[float]) -> None:
        """Writes everything a later run needs to go on from here."""
        directory.mkdir(parents=True, exist_ok=True)
        content: dict[str, Any] = {
            "identity": self.identity,
            "step": step,
            "losses": torch.tensor(losses, dtype=torch.float64),
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "companions": {name: each.state_dict() for name, each in self.companions.items()},
        }
        with whole_file(directory / CHECKPOINT) as scratch:
            torch.save(content, scratch)

    def restore(self, directory: Path | None) -> tuple[int, list[float]]:
        """Takes up a checkpoint of the same weights, data and settings, if there is one."""
        path = None if directory is None else directory / CHECKPOINT
        if path is None or not path.is_file():
            return 0, []
        stored = torch.load(path, weights_only=True)
        if stored["identity"] != self.identity:
            return 0, []
        self.model.load_state_dict(stored["model"])
        self.average = stored["average"]
        self.optimiser.load_state_dict(stored["optimiser"])
        for name, each in self.companions.items():
            each.load_state_dict(stored["companions"][name])
        return int(stored["step"]), stored["losses"].tolist()


def batch_places(lengths: Sequence[int], size: int, seed: int, step: int) -> list[int]:
    """Numbers of the sentences of a step: an epoch is a random order, sorted by length among neighbours."""
    size = min(size, len(lengths))
    each_epoch = len(lengths) // size
    epoch, place = divmod(step, each_epoch)
    choose = np.random.default_rng([seed, epoch])
    order = choose.permutation(len(lengths))[: each_epoch * size]
    window = size * _NEIGHBOURS
    known = np.asarray(lengths)
    sorted_order = np.concatenate(
        [part[np.argsort(known[part], kind="stable")] for part in np.split(order, range(window, len(order), window))]
    )
    start = int(choose.permutation(each_epoch)[place]) * size
    return [int(number) for number in sorted_order[start : start + size]]


def weights_digest(model: nn.Module) -> str:
    """Digest of names, shapes and values of all weights."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(np.ascontiguousarray(value.detach().numpy()).tobytes())
    return digest.hexdigest()


def asked(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that decide the numbers, for an identity."""
    return {name: value for name, value in asdict(settings).items() if name != "checkpoint_every_steps"}


def rate_share(step: int, settings: TrainingSettings) -> float:
    """Share of the learning rate in a step: linear warm-up, then a cosine down to ``final_ratio``."""
    warm = max(1, round(settings.steps * settings.warmup_ratio))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, settings.steps - warm)
    return settings.final_ratio + (1.0 - settings.final_ratio) * 0.5 * (1.0 + math.cos(math.pi * done))
