"""How well a text-to-semantic model tells what comes next: cross-entropy and top-1 agreement on held-out sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.models.gpt_sovits.semantic_batch import Pair, batch_logits, batch_of

_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticQuality:
    """What was found, over every code and stop token, each given those before it.

    Attributes:
        cross_entropy_nats: mean negative log-likelihood; ``ln(vocabulary)`` is a guess.
        top1_ratio: share of them the model would have chosen.
        agreement_ratio: share in which it would have chosen what a reference model would; ``None`` without one.
        predictions: how many there were.
    """

    cross_entropy_nats: float
    top1_ratio: float
    agreement_ratio: float | None
    predictions: int


@torch.inference_mode()
def judge_semantic(
    model: SemanticModel, pairs: Sequence[Pair], reference: SemanticModel | None = None
) -> SemanticQuality:
    """Judges a model.

    Args:
        model: who is judged.
        pairs: held-out sentences, at least one.
        reference: a model to agree with, e.g. the one this was made from.
    """
    stop, loss, right, agreed, count = model.config.stop_token, 0.0, 0, 0, 0
    for group in in_groups(pairs):
        batch = batch_of(group, stop)
        logits, wanted = batch_logits(model, batch), batch.predicted
        loss += float(functional.cross_entropy(logits, wanted, reduction="sum"))
        chosen = logits.argmax(dim=1)
        right, count = right + int((chosen == wanted).sum()), count + len(wanted)
        if reference is not None:
            agreed += int((chosen == batch_logits(reference, batch).argmax(dim=1)).sum())
    return SemanticQuality(
        cross_entropy_nats=loss / count,
        top1_ratio=right / count,
        agreement_ratio=None if reference is None else agreed / count,
        predictions=count,
    )


def in_groups(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Sentences to judge at once, of like lengths: little of a batch is padding then."""
    ordered = sorted(pairs, key=lambda pair: len(pair.codes))
    return [ordered[first : first + _BATCH] for first in range(0, len(ordered), _BATCH)]
