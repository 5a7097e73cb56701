"""Trains a text-to-semantic model, by the loop every student is trained with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.models.gpt_sovits.semantic_batch import Pair, SemanticBatch, batch_logits, batch_of
from toolkit.train.loop import StepProgress, TrainingSettings, asked, batch_places, train_module, weights_digest

Loss = Callable[[Tensor, SemanticBatch, Sequence[int]], Tensor]
"""``loss(logits, batch, places)``: ``places`` are the sentences' numbers in the training set."""


def task_loss(logits: Tensor, batch: SemanticBatch, places: Sequence[int]) -> Tensor:
    """Cross-entropy of the codes."""
    return functional.cross_entropy(logits, batch.predicted)


def train_semantic(
    model: SemanticModel,
    pairs: Sequence[Pair],
    settings: TrainingSettings,
    *,
    loss: Loss = task_loss,
    task: str = "task loss",
    checkpoint_dir: Path | None = None,
    on_progress: StepProgress | None = None,
) -> list[float]:
    """Trains in place; the model is left in inference mode, without gradients.

    Args:
        model: what is trained.
        pairs: what it is trained on.
        settings: how.
        loss: what is made smaller.
        task: what decides the loss beside the data, so that no other task's checkpoint is taken up.
        checkpoint_dir: where to keep a checkpoint, and to look for one.
        on_progress: told after every step.

    Returns:
        The loss of every step.

    Raises:
        GateFailed: the loss is no number any more.
    """
    lengths = lengths_of(pairs)

    def loss_of(step: int) -> Tensor:
        places = batch_places(lengths, settings.batch, settings.seed, step)
        batch = batch_of([pairs[place] for place in places], model.config.stop_token)
        return loss(batch_logits(model, batch, settings.dropout), batch, places)

    return train_module(
        model, settings, loss_of, identity=_identity(model, pairs, settings, task), task=task,
        checkpoint_dir=checkpoint_dir, on_progress=on_progress,
    )  # fmt: skip


def lengths_of(pairs: Sequence[Pair]) -> list[int]:
    """Codes and phones of each sentence."""
    return [len(pair.codes) + len(pair.phones) for pair in pairs]


def _identity(model: SemanticModel, pairs: Sequence[Pair], settings: TrainingSettings, task: str) -> str:
    """Digest of what is asked, of the weights it starts from, and of the data."""
    digest = hashlib.sha256(f"{task}|{asked(settings)}|{weights_digest(model)}".encode())
    for pair in pairs:
        digest.update(pair.phones.tobytes() + b"|" + pair.codes.tobytes())
    return digest.hexdigest()
