"""Light pruning of SoVITS' text encoder: channels inside its feed-forward blocks, by the norms of their weights.

There is no training here: the file's own training data, its posterior encoder and its discriminators are not at hand.
So little goes (at most 30 %, 5 % by default), and what it does to the encoder's output is measured against the file
given.
Flow and decoder are protected, and compared bit for bit afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from toolkit.models.gpt_sovits.checkpoint import Checkpoint
from toolkit.prune.groups import cut, encoder_groups
from toolkit.prune.importance import magnitude_scores
from toolkit.prune.protection import refuse_protected, verify_protected
from toolkit.prune.selection import most_important
from toolkit.recipe.shrinking import Prune


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrunedEncoder:
    """What came of it.

    Attributes:
        weights: of the whole file, smaller where channels went.
        channels: of a block, before and after, by stack.
        protected: tensors that were compared and are the same.
    """

    weights: Mapping[str, Tensor] = field(repr=False)
    channels: Mapping[str, tuple[int, int]]
    protected: int


def prune_encoder(checkpoint: Checkpoint, settings: Prune) -> PrunedEncoder:
    """Takes the smallest channels out, the same number in every layer of a stack.

    Args:
        checkpoint: a SoVITS file.
        settings: ``encoder_ratio``, ``channel_multiple`` and ``protect`` are used.

    Raises:
        RecipeError: the text encoder is protected.
        ValueError: a GPT file was given.
    """
    if checkpoint.sovits is None:
        raise ValueError("a GPT checkpoint has no text encoder of SoVITS")
    stacks = checkpoint.sovits.stacks
    groups = encoder_groups(stacks)
    refuse_protected(groups, settings.protect)
    left = {name: _left(stack.inners[0], settings) for name, stack in stacks.items()}
    scores = magnitude_scores(checkpoint.weights, groups)
    keeps = {group: most_important(score, left[group.place.split(".")[1]]) for group, score in scores.items()}
    weights = cut(checkpoint.weights, keeps)
    protected = verify_protected(checkpoint.weights, weights, settings.protect)
    channels = {name: (stack.inners[0], left[name]) for name, stack in stacks.items()}
    return PrunedEncoder(weights=weights, channels=channels, protected=protected)


@torch.inference_mode()
def prior_snr_db(before: Checkpoint, after: Mapping[str, Tensor], seed: int) -> float:
    """What is left of the text encoder's mean, in dB, on random phones and codes and a random style.

    It compares numbers, not speech: how it sounds has to be listened to.
    """
    from toolkit.models.gpt_sovits import sovits_parts
    from toolkit.models.gpt_sovits.sovits import sovits_model
    from toolkit.models.gpt_sovits.sovits_graphs import random_style

    draw, style = np.random.default_rng(seed), random_style(before, seed)
    sizes = before.sovits
    codes = torch.from_numpy(draw.integers(0, sizes.codes, (1, 60)))
    phones = torch.from_numpy(draw.integers(0, sizes.symbols, (1, 40)))
    masks = torch.ones(1, 1, 120), torch.ones(1, 1, 40)
    means = [
        sovits_parts.run(sovits_model(each).prior, codes, phones, *masks, style.ge_text)[0].double()
        for each in (before, _with_weights(before, after))
    ]
    return float(10.0 * torch.log10(means[0].square().sum() / (means[1] - means[0]).square().sum().clamp_min(1e-30)))


def _with_weights(checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> Checkpoint:
    from dataclasses import replace

    from toolkit.models.gpt_sovits.sovits_config import sovits_config

    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    model = checkpoint.config.get("model")
    sizes = sovits_config(
        shapes, model if isinstance(model, dict) else {}, checkpoint.version, f"{checkpoint.path}, pruned"
    )
    return replace(checkpoint, weights=weights, sovits=sizes)


def _left(count: int, settings: Prune) -> int:
    kept = round(count * (1.0 - settings.encoder_ratio) / settings.channel_multiple) * settings.channel_multiple
    return min(count, max(settings.channel_multiple, kept))
