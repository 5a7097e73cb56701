"""How much each channel or head matters.

Source: Molchanov et al. 2019, arXiv:1906.10771 (first-order Taylor): the loss without a unit is about the loss minus
the sum of weight times slope over the unit's weights; its square, summed over batches, is what the unit is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.models.gpt_sovits.semantic_batch import Pair, batch_logits, batch_of
from toolkit.prune.groups import Group
from toolkit.train.loop import batch_places
from toolkit.train.trainer import lengths_of

BATCHES: Final = 12
_BATCH: Final = 8


def magnitude_scores(weights: Mapping[str, Tensor], groups: Sequence[Group]) -> dict[Group, Tensor]:
    """Product of the norms of what goes in and of what comes out: zero where either is zero.

    Returns:
        ``[units] float64`` for every group.
    """
    found = {}
    for group in groups:
        first, last = group.members[0], group.members[-1]
        norms = [member.units(weights[member.name].double()).norm(dim=1) for member in (first, last)]
        found[group] = norms[0] * norms[1]
    return found


def taylor_scores(
    model: nn.Module, groups: Sequence[Group], losses: Iterable[Callable[[], Tensor]]
) -> dict[Group, Tensor]:
    """Squared first-order change of losses, summed over them.

    Args:
        model: in inference mode; left so, and without gradients.
        groups: its groups.
        losses: each a loss of the model as it is.

    Returns:
        ``[units] float64`` for every group.
    """
    parameters = dict(model.named_parameters())
    found = {group: torch.zeros(group.count, dtype=torch.float64) for group in groups}
    model.requires_grad_(True)
    for loss in losses:
        model.zero_grad(set_to_none=True)
        loss().backward()
        with torch.no_grad():
            for group in groups:
                change = torch.zeros(group.count, dtype=torch.float64)
                for member in group.members:
                    weight = parameters[member.name]
                    change += member.units((weight * weight.grad).double()).sum(dim=1)
                found[group] += change.square()
    model.zero_grad(set_to_none=True)
    model.requires_grad_(False)
    return found


def unit_scores(
    importance: Literal["taylor", "magnitude"],
    model: nn.Module,
    groups: Sequence[Group],
    losses: Iterable[Callable[[], Tensor]],
) -> dict[Group, Tensor]:
    """Scores of a model's units by the importance that is asked for; ``losses`` are made for ``taylor`` only."""
    if importance == "taylor":
        return taylor_scores(model, groups, losses)
    return magnitude_scores(model.state_dict(), groups)


def cross_entropies(model: SemanticModel, pairs: Sequence[Pair], seed: int) -> Iterator[Callable[[], Tensor]]:
    """The cross-entropy of batches of the training set.

    Args:
        model: whose.
        pairs: the training set.
        seed: of the batches.
    """
    for step in range(BATCHES):
        chosen = [pairs[place] for place in batch_places(lengths_of(pairs), _BATCH, seed, step)]
        batch = batch_of(chosen, model.config.stop_token)
        yield lambda batch=batch: functional.cross_entropy(batch_logits(model, batch), batch.predicted)
