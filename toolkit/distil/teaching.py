"""The loss of a model that learns beside a teacher: what the teacher says, and what the data says."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from toolkit.distil.losses import distillation_loss
from toolkit.distil.teacher_cache import TeacherLogits
from toolkit.models.gpt_sovits.semantic_batch import SemanticBatch
from toolkit.recipe.shrinking import Teaching
from toolkit.train.trainer import Loss


def taught_loss(told: TeacherLogits, teaching: Teaching) -> Loss:
    """``alpha * T^2 * KL + (1 - alpha) * cross-entropy`` of a batch of the training set.

    Args:
        told: what the teacher says of that set.
        teaching: temperature and alpha.
    """

    def loss(logits: Tensor, batch: SemanticBatch, places: Sequence[int]) -> Tensor:
        return distillation_loss(
            logits, told.of(places), batch.predicted, temperature=teaching.temperature, alpha=teaching.alpha
        )

    return loss


def taught_task(told: TeacherLogits, teaching: Teaching) -> str:
    """What decides that loss beside the data: no other task's checkpoint is taken up."""
    return f"distil {told.digest} T={teaching.temperature} alpha={teaching.alpha}"
