"""Channels out of a text-to-semantic model in one cut, without data and without training.

What is left to do where there is no corpus; `prune_semantic` goes round by round and trains in between.
"""

from __future__ import annotations

import math

from toolkit.models.gpt_sovits.semantic import SemanticModel, load_semantic
from toolkit.prune.groups import cut, semantic_groups
from toolkit.prune.importance import magnitude_scores
from toolkit.prune.protection import refuse_protected, verify_protected
from toolkit.prune.selection import channels_to_keep
from toolkit.recipe.shrinking import Prune


def cut_by_norm(model: SemanticModel, settings: Prune) -> SemanticModel:
    """The model without those feed-forward channels whose weights are smallest.

    Args:
        model: it is not changed.
        settings: share of the channels, multiples, floor and protection; nothing of training is asked.

    Raises:
        RecipeError: something protected would be cut.
    """
    groups = [group for group in semantic_groups(model.config) if group.kind == "mlp"]
    refuse_protected(groups, settings.protect)
    sizes, weights = model.config, model.state_dict()
    keeps = channels_to_keep(
        magnitude_scores(weights, groups),
        round(sum(sizes.inners) * (1.0 - settings.mlp_ratio)),
        multiple=settings.channel_multiple,
        smallest={f"h.layers.{i}": math.ceil(n * settings.smallest_ratio) for i, n in enumerate(sizes.inners)},
    )
    smaller = cut(weights, keeps)
    verify_protected(weights, smaller, settings.protect)
    return load_semantic(smaller, heads=sizes.heads, where="cut by norm")
