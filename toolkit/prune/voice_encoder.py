"""A VITS voice's text encoder is pruned round by round: its blocks' channels and its heads; the voice given teaches.

Everything behind the encoder stays as it is, and reads what the encoder writes: the prior's mean and deviation, from
which the flow starts, and ``x``, from which durations are told. So these three are what a round is taught, in the
voice's own numbers, kept on disk. What a channel matters is how far they move without it, squared, to first order:
the loss itself says nothing where it is 0 (Gauss-Newton; the sum over outputs is drawn, Hutchinson 1990).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.distil.voice import prior_distance
from toolkit.distil.voice_batches import ids_side_by_side, side_by_side
from toolkit.distil.voice_teacher import TaughtText
from toolkit.models.vits.config import EncoderConfig, VitsConfig
from toolkit.models.vits.parts import EncoderPart
from toolkit.models.voice import Voice
from toolkit.prune.groups import Group, cut, voice_groups
from toolkit.prune.importance import BATCHES, unit_scores
from toolkit.prune.selection import heads_left, units_to_keep
from toolkit.prune.voice_part import VoicePart, random_signs, with_part
from toolkit.recipe.shrinking import PruneVoice, Training
from toolkit.train.loop import TrainingSettings, batch_places

_X_WEIGHT: Final = 1.0
"""Of ``x``, whose squared distance is a share of its own square, beside the prior's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunableEncoder(VoicePart):
    """See `voice_part.VoicePart`.

    Attributes:
        texts: what the voice given says of sentences.
    """

    texts: Sequence[TaughtText] = field(repr=False)

    @property
    def part(self) -> str:
        """The text encoder."""
        return "encoder"

    def cut(self, current: Voice, number: int) -> Voice:
        """Without the channels and heads that matter least."""
        settings, encoder, whole = self.settings, current.modules["encoder"], self.given.config.encoder
        groups = cut_groups(current.config.encoder, settings)
        projections = self._projections(encoder, settings.seed + number)
        scores = unit_scores(settings.importance, encoder, groups, projections)
        keeps = units_to_keep(scores, settings, number, inners=whole.inners, heads=whole.heads)
        return self.restored(cut(encoder.state_dict(), keeps), heads_left(settings, number, whole.heads), "")

    @property
    def training(self) -> Training:
        """How the encoder is trained."""
        return self.settings.training

    def distance(self, module: nn.Module, how: TrainingSettings) -> Callable[[int], Tensor]:
        """To what the voice given says."""
        return lambda step: self._distance(module, self._places(how.batch, how.seed, step))

    def restored(self, weights: Mapping[str, Tensor], heads: int, where: str) -> Voice:
        """A voice with these weights for its encoder."""
        return with_encoder(self.start, weights, heads)

    def widths(self, config: VitsConfig) -> tuple[int, ...]:
        """Channels inside each layer's feed-forward block."""
        return config.encoder.inners

    def _places(self, batch: int, seed: int, step: int) -> list[int]:
        return batch_places([len(text.ids) for text in self.texts], batch, seed, step)

    def _distance(self, encoder: nn.Module, places: Sequence[int]) -> Tensor:
        """How far an encoder is from what was said of some sentences."""
        batch = self._batch(places)
        x, m_p, logs_p = encoder(batch.ids, batch.mask)
        missed = ((x - batch.x).square() * batch.mask).sum() / batch.x.square().sum()
        return prior_distance((m_p, logs_p), (batch.m_p, batch.logs_p), batch.frames) + _X_WEIGHT * missed

    def _projections(self, encoder: nn.Module, seed: int) -> Iterator[Callable[[], Tensor]]:
        """For batches, a sum of the outputs with random signs, each output scaled as `_distance` weighs it."""
        for step in range(BATCHES):
            batch = self._batch(self._places(self.settings.training.batch, seed, step))
            signs = torch.Generator().manual_seed(seed * 1_000_003 + step)
            shares = (batch.frames / (batch.frames.sum() * batch.m_p.shape[1])).sqrt()
            scales = (
                _X_WEIGHT**0.5 * batch.mask / batch.x.square().sum().sqrt(),
                shares * torch.exp(-batch.logs_p) * 0.5**0.5,
                shares,
            )
            yield lambda batch=batch, signs=signs, scales=scales: sum(
                (output * scale * random_signs(output, signs)).sum()
                for output, scale in zip(encoder(batch.ids, batch.mask), scales, strict=True)
            )

    def _batch(self, places: Sequence[int]) -> _Batch:
        here = [self.texts[place] for place in places]
        ids, mask = ids_side_by_side([text.ids for text in here], 2 * self.given.config.encoder.window + 1)

        def padded(arrays: Sequence[np.ndarray]) -> Tensor:
            found, _ = side_by_side([np.atleast_2d(array) for array in arrays])
            return functional.pad(found, (0, mask.shape[-1] - found.shape[-1]))

        return _Batch(
            ids=ids,
            mask=mask,
            x=padded([text.x for text in here if text.x is not None]),
            m_p=padded([text.m_p for text in here]),
            logs_p=padded([text.logs_p for text in here]),
            frames=padded([text.frames for text in here]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Sentences side by side, ``[batch, channels, phonemes]`` each but for ``ids`` ``[batch, phonemes]``."""

    ids: Tensor
    mask: Tensor
    x: Tensor
    m_p: Tensor
    logs_p: Tensor
    frames: Tensor


def cut_groups(config: EncoderConfig, settings: PruneVoice) -> list[Group]:
    """What a recipe takes something from."""
    wanted = {"mlp": settings.mlp_ratio, "heads": settings.heads_ratio}
    return [group for group in voice_groups(config) if wanted[group.kind]]


def with_encoder(voice: Voice, weights: Mapping[str, Tensor], heads: int) -> Voice:
    """The voice with an encoder cut out of its own.

    Args:
        voice: gives all sizes that are not cut, and the other parts.
        weights: of the smaller encoder.
        heads: it has in every layer.
    """
    given = voice.config.encoder
    inners = tuple(len(weights[f"enc_p.encoder.ffn_layers.{layer}.conv_1.weight"]) for layer in range(given.layers))
    width = heads * (given.attention_width // given.heads)
    sizes = replace(
        given,
        filter_channels=inners[0] if len(set(inners)) == 1 else inners,
        heads=heads,
        attention=None if width == given.hidden else width,
    )
    return with_part(voice, "encoder", EncoderPart(sizes), replace(voice.config, encoder=sizes), weights)
