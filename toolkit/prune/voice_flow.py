"""A VITS voice's flow is pruned round by round: the gates of its WaveNet layers; the flow given teaches.

The given voice's own prior samples are what the flow is asked about, and what its couplings made of them is what is
left must learn, in the voice's own numbers, kept on disk. What a gate matters is how far the latent moves without it,
squared, to first order, as of the encoder's channels (`voice_encoder`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.distil.voice import latent_distance
from toolkit.distil.voice_batches import side_by_side
from toolkit.distil.voice_teacher import flow_of
from toolkit.models.vits.config import VitsConfig
from toolkit.models.vits.flow import ResidualCouplingFlow
from toolkit.models.vits.parts import FlowPart
from toolkit.models.voice import Voice
from toolkit.prune.groups import cut, flow_groups
from toolkit.prune.importance import BATCHES, unit_scores
from toolkit.prune.selection import channels_to_keep
from toolkit.prune.voice_part import VoicePart, random_signs, with_part
from toolkit.recipe.shrinking import Training
from toolkit.train.loop import TrainingSettings, batch_places


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunableFlow(VoicePart):
    """See `voice_part.VoicePart`.

    Attributes:
        latents: what the flow given makes of prior samples, see `voice_teacher.taught_latents`.
    """

    latents: Sequence[np.ndarray] = field(repr=False)

    @property
    def part(self) -> str:
        """The flow."""
        return "flow"

    def cut(self, current: Voice, number: int) -> Voice:
        """Without the gates that matter least, of all layers together."""
        settings, module = self.settings, current.modules["flow"]
        groups = flow_groups(current.config.flow)
        projections = self._projections(flow_of(module), settings.seed + number)
        scores = unit_scores(settings.importance, module, groups, projections)
        whole = self.widths(self.given.config)
        gone = min(settings.flow_ratio, number * settings.round_ratio)
        keeps = channels_to_keep(
            scores,
            round(sum(whole) * (1.0 - gone)),
            multiple=settings.channel_multiple,
            smallest={
                group.place: math.ceil(count * settings.smallest_ratio)
                for group, count in zip(groups, whole, strict=True)
            },
        )
        return with_flow(self.start, cut(module.state_dict(), keeps))

    @property
    def training(self) -> Training:
        """How the flow is trained."""
        return self.settings.flow_training

    def distance(self, module: nn.Module, how: TrainingSettings) -> Callable[[int], Tensor]:
        """To what the flow given makes of prior samples, coupling by coupling."""
        flow = flow_of(module)
        return lambda step: latent_distance(flow, *self._batch(how.batch, how.seed, step))

    def restored(self, weights: Mapping[str, Tensor], heads: int, where: str) -> Voice:
        """A voice with these weights for its flow."""
        return with_flow(self.start, weights)

    def widths(self, config: VitsConfig) -> tuple[int, ...]:
        """Gates of each layer, coupling by coupling."""
        return tuple(width for widths in config.flow.gate_widths for width in widths)

    def _batch(self, size: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        places = batch_places([each.shape[-1] for each in self.latents], size, seed, step)
        return side_by_side([self.latents[place] for place in places])

    def _projections(self, flow: ResidualCouplingFlow, seed: int) -> Iterator[Callable[[], Tensor]]:
        """For batches, a sum of the latent with random signs, scaled as a mean square is."""
        for step in range(BATCHES):
            stages, mask = self._batch(self.settings.flow_training.batch, seed, step)
            signs = torch.Generator().manual_seed(seed * 1_000_003 + step)
            z_p, scale = stages[:, 0], mask / (mask.sum() * stages.shape[2]).sqrt()
            weight = scale * random_signs(z_p, signs)
            yield lambda z_p=z_p, mask=mask, weight=weight: (flow(z_p, mask) * weight).sum()


def with_flow(voice: Voice, weights: Mapping[str, Tensor]) -> Voice:
    """The voice with a flow cut out of its own.

    Args:
        voice: gives all sizes that are not cut, and the other parts.
        weights: of the smaller flow.
    """
    given = voice.config.flow
    gates = tuple(
        tuple(
            len(weights[f"flow.flows.{2 * coupling}.enc.in_layers.{layer}.bias"]) // 2
            for layer in range(len(given.dilations))
        )
        for coupling in range(given.couplings)
    )
    whole = all(width == given.hidden for widths in gates for width in widths)
    sizes = replace(given, gates=None if whole else gates)
    return with_part(voice, "flow", FlowPart(sizes), replace(voice.config, flow=sizes), weights)
