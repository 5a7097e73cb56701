"""Which channels and heads stay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from toolkit.prune.groups import Group
from toolkit.recipe.shrinking import Pruning


def units_to_keep(
    scores: Mapping[Group, Tensor], settings: Pruning, number: int, *, inners: Sequence[int], heads: int
) -> dict[Group, Tensor]:
    """What stays after a round.

    Args:
        scores: of every group of the model the round before left, feed-forward blocks in the order of their layers.
        settings: shares of the whole model, and of it in a round.
        number: of the round, from 1.
        inners: channels each layer had when nothing was cut.
        heads: heads every layer had then.

    Returns:
        Places of the units that stay, ascending, for every group that loses some.
    """
    gone = number * settings.round_ratio
    mlp, least = min(settings.mlp_ratio, gone), heads_left(settings, number, heads)
    blocks = {group: score for group, score in scores.items() if group.kind == "mlp"}
    attentions = {group: score for group, score in scores.items() if group.kind == "heads"}
    keeps: dict[Group, Tensor] = {}
    if mlp:
        keeps |= channels_to_keep(
            blocks,
            round(sum(inners) * (1.0 - mlp)),
            multiple=settings.channel_multiple,
            smallest={
                group.place: math.ceil(count * settings.smallest_ratio)
                for group, count in zip(blocks, inners, strict=True)
            },
        )
    if any(group.count > least for group in attentions):
        keeps |= heads_to_keep(attentions, least)
    return keeps


def heads_left(settings: Pruning, number: int, heads: int) -> int:
    """Heads every layer has after a round, of so many when nothing was cut."""
    gone = min(settings.heads_ratio, number * settings.round_ratio)
    return max(1, math.ceil(round(heads * (1.0 - gone), 9)))


def channels_to_keep(
    scores: Mapping[Group, Tensor], total: int, *, multiple: int, smallest: Mapping[str, int]
) -> dict[Group, Tensor]:
    """The most important channels over all layers together.

    Args:
        scores: of every layer's channels.
        total: channels to keep, all layers together; met to within one ``multiple``.
        multiple: what a layer keeps is a multiple of it, or all it has.
        smallest: least a layer may keep, by its place.

    Returns:
        Places of the channels that stay, ascending.
    """
    groups = list(scores)
    everything = torch.cat([scores[group] for group in groups])
    order = everything.argsort(descending=True, stable=True)
    owner = torch.cat([torch.full((group.count,), index) for index, group in enumerate(groups)])
    counts = torch.bincount(owner[order[:total]], minlength=len(groups)).tolist()
    floors = [min(group.count, _rounded_up(smallest[group.place], multiple)) for group in groups]
    kept = _fitted(counts, [group.count for group in groups], floors, total, multiple)
    return {group: most_important(scores[group], count) for group, count in zip(groups, kept, strict=True)}


def heads_to_keep(scores: Mapping[Group, Tensor], count: int) -> dict[Group, Tensor]:
    """Each layer's most important heads, the same number in every layer (one cache holds them all)."""
    return {group: most_important(score, count) for group, score in scores.items()}


def most_important(scores: Tensor, count: int) -> Tensor:
    """Places of the ``count`` largest, ascending."""
    return scores.argsort(descending=True, stable=True)[:count].sort().values


def _rounded_up(count: int, multiple: int) -> int:
    return max(1, math.ceil(count / multiple)) * multiple


def _fitted(
    counts: Sequence[int], limits: Sequence[int], floors: Sequence[int], total: int, multiple: int
) -> list[int]:
    """Counts as multiples between floor and limit, whose sum is as near to ``total`` as they allow."""
    kept = [
        min(limit, max(floor, round(count / multiple) * multiple))
        for count, limit, floor in zip(counts, limits, floors, strict=True)
    ]
    while sum(kept) - total >= multiple:
        over = [(kept[i] - counts[i], i) for i in range(len(kept)) if kept[i] - multiple >= floors[i]]
        if not over:
            break
        kept[max(over)[1]] -= multiple
    while total - sum(kept) >= multiple:
        under = [(counts[i] - kept[i], i) for i in range(len(kept)) if kept[i] + multiple <= limits[i]]
        if not under:
            break
        kept[max(under)[1]] += multiple
    return kept
