"""A VITS voice's HiFi-GAN decoder is pruned round by round: channels of its stages; the decoder given teaches.

The given voice's own latents are what the decoder is asked about, and their sound is what is left must learn, kept on
disk. What a channel matters is how far the log magnitudes of the sound move without it, squared, to first order: as of
the encoder's channels (`voice_encoder`), in what the ear hears and not in samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from toolkit.distil.decoder_teacher import TaughtSound
from toolkit.distil.sound_windows import EDGE_FRAMES, SoundWindows
from toolkit.distil.waveform_losses import log_magnitudes, waveform_loss
from toolkit.errors import RecipeError
from toolkit.models.vits.config import GeneratorConfig, VitsConfig
from toolkit.models.vits.parts import DecoderPart
from toolkit.models.voice import Voice
from toolkit.prune.groups import Group, cut, decoder_groups
from toolkit.prune.importance import BATCHES, unit_scores
from toolkit.prune.selection import channels_to_keep
from toolkit.prune.voice_part import VoicePart, random_signs, with_part
from toolkit.recipe.shrinking import Training
from toolkit.train.loop import TrainingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunableDecoder(VoicePart):
    """See `voice_part.VoicePart`.

    Attributes:
        sounds: latents of sentences and what the decoder given makes of them.
    """

    sounds: Sequence[TaughtSound] = field(repr=False)

    @property
    def part(self) -> str:
        """The decoder."""
        return "decoder"

    def cut(self, current: Voice, number: int) -> Voice:
        """Without the channels that matter least, of each stage or of all, as the settings say."""
        settings, module = self.settings, current.modules["decoder"]
        groups = decoder_groups(hifigan(current))
        projections = self._projections(module, settings.seed + number)
        scores = unit_scores(settings.importance, module, groups, projections)
        whole = {group.place: group.count for group in decoder_groups(hifigan(self.given))}
        gone = min(settings.decoder_ratio, number * settings.round_ratio)
        keeps: dict[Group, Tensor] = {}
        for chosen in _ranked_together(groups, settings.decoder_spread):
            keeps |= channels_to_keep(
                {group: scores[group] for group in chosen},
                round(sum(whole[group.place] for group in chosen) * (1.0 - gone)),
                multiple=settings.channel_multiple,
                smallest={group.place: math.ceil(whole[group.place] * settings.smallest_ratio) for group in chosen},
            )
        return with_decoder(self.start, cut(module.state_dict(), keeps))

    @property
    def training(self) -> Training:
        """How the decoder is trained."""
        return self.settings.decoder_training

    def distance(self, module: nn.Module, how: TrainingSettings) -> Callable[[int], Tensor]:
        """To the sound of the decoder given.

        Raises:
            DataError: no sentence is as long as a window.
        """
        windows, rate_hz = self._windows(), self.given.sample_rate_hz

        def loss_of(step: int) -> Tensor:
            z, wanted = windows.batch(how.batch, how.seed, step)
            return waveform_loss(self._judged(wanted), self._sound(module, z), rate_hz)

        return loss_of

    def restored(self, weights: Mapping[str, Tensor], heads: int, where: str) -> Voice:
        """A voice with these weights for its decoder."""
        return with_decoder(self.start, weights)

    def widths(self, config: VitsConfig) -> tuple[int, ...]:
        """Channels before the first stage and of each, then those inside the residual steps, block by block."""
        generator = config.generator
        if not isinstance(generator, GeneratorConfig):
            raise TypeError(f"a decoder of kind {type(generator).__name__}")
        inside = (width for widths in generator.block_inners for width in widths)
        return (generator.initial, *generator.stage_widths, *inside)

    def _windows(self) -> SoundWindows:
        return SoundWindows(self.sounds, 1, self.given.hop, "prune")

    def _sound(self, module: nn.Module, z: Tensor) -> Tensor:
        return self._judged(module(z, z.new_ones(1, 1, z.shape[-1]))[:, 0])

    def _judged(self, wave: Tensor) -> Tensor:
        edge = EDGE_FRAMES * self.given.hop
        return wave[:, edge:-edge]

    def _projections(self, module: nn.Module, seed: int) -> Iterator[Callable[[], Tensor]]:
        """For batches, a sum of the sound's log magnitudes with random signs, scaled as a mean square is."""
        windows = self._windows()
        for step in range(BATCHES):
            z, _ = windows.batch(self.settings.decoder_training.batch, seed, step)
            signs = torch.Generator().manual_seed(seed * 1_000_003 + step)

            def projection(z: Tensor = z, signs: torch.Generator = signs) -> Tensor:
                heard = log_magnitudes(self._sound(module, z))
                return (heard * random_signs(heard, signs)).sum() / heard.numel() ** 0.5

            yield projection


def _ranked_together(groups: Sequence[Group], spread: str) -> list[list[Group]]:
    if spread == "even":
        return [[group] for group in groups]
    kinds = {group.kind: [each for each in groups if each.kind == group.kind] for group in groups}
    return [*kinds.values()]


def hifigan(voice: Voice) -> GeneratorConfig:
    """Sizes of a voice's decoder.

    Raises:
        RecipeError: it is no HiFi-GAN.
    """
    generator = voice.config.generator
    if not isinstance(generator, GeneratorConfig):
        raise RecipeError(
            "channels are taken out of HiFi-GAN decoders only, and the voice has a light one",
            code="prune/other-decoder",
            where=voice.label,
            hint="leave --decoder out; a light decoder is made smaller by distilling it: toolkit distil --set "
            "decoder.width=N",
        )
    return generator


def with_decoder(voice: Voice, weights: Mapping[str, Tensor]) -> Voice:
    """The voice with a HiFi-GAN decoder cut out of its own.

    Args:
        voice: gives all sizes that are not cut, and the other parts.
        weights: of the smaller decoder.
    """
    given = hifigan(voice)
    whole = replace(given, initial=len(weights["dec.conv_pre.weight"]), widths=None, inners=None)
    widths = tuple(weights[f"dec.ups.{stage}.weight"].shape[1] for stage in range(len(given.up_rates)))
    sizes = replace(whole, widths=None if widths == whole.stage_widths else widths)
    blocks = len(given.resblock_kernels)
    inners = tuple(
        tuple(
            len(weights[f"dec.resblocks.{block}.convs1.{step}.weight"])
            for step in range(len(given.resblock_dilations[block % blocks]))
        )
        for block in range(len(given.up_rates) * blocks if given.resblock == "1" else 0)
    )
    sizes = replace(sizes, inners=None if inners == sizes.block_inners else inners)
    return with_part(voice, "decoder", DecoderPart(sizes), replace(voice.config, generator=sizes), weights)
