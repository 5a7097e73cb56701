"""A VITS voice is pruned part by part, the text encoder first, then its flow, then its decoder; each round by round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolkit.distil.decoder_teacher import taught_waves
from toolkit.distil.voice_teacher import taught_latents, taught_texts
from toolkit.models.voice import Voice
from toolkit.prune.groups import Group, decoder_groups, flow_groups
from toolkit.prune.protection import refuse_protected, verify_protected
from toolkit.prune.rounds import Pruned, Round, planned_rounds, prune_rounds, rounds_for
from toolkit.prune.voice_decoder import PrunableDecoder, hifigan
from toolkit.prune.voice_encoder import PrunableEncoder, cut_groups
from toolkit.prune.voice_fidelity import Hear, VoiceFidelity, latents_of
from toolkit.prune.voice_flow import PrunableFlow
from toolkit.prune.voice_part import VoicePart, weights_of
from toolkit.recipe.shrinking import PruneVoice
from toolkit.train.loop import StepProgress

OnRound = Callable[[str, Round[VoiceFidelity], int], None]
"""``on_round(part, round, of)``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrunedVoice:
    """What came of it.

    Attributes:
        model: the smallest voice whose rounds all passed; the given one when none did.
        parts: rounds of each part that was pruned, in their order. A part's rounds start from what those of the part
            before left.
        protected: tensors that were compared and are the same.
    """

    model: Voice = field(repr=False)
    parts: Mapping[str, Pruned[Voice, VoiceFidelity]]
    protected: int

    @property
    def quality(self) -> VoiceFidelity | None:
        """Of ``model``, as its last round was judged; ``None`` where no round passed."""
        passed = [each.quality for each in self.parts.values() if each.best]
        return passed[-1] if passed else None

    @property
    def complete(self) -> bool:
        """Whether every round of every part passed."""
        return all(each.rounds[-1].passed for each in self.parts.values())


def prune_voice(
    voice: Voice,
    settings: PruneVoice,
    sentences: Sequence[np.ndarray],
    held_out: Sequence[np.ndarray],
    *,
    hear: Hear | None = None,
    cache: Path | None = None,
    checkpoint_dir: Path | None = None,
    on_teacher: Callable[[int, int], None] | None = None,
    on_round: OnRound | None = None,
    on_step: StepProgress | None = None,
) -> PrunedVoice:
    """Prunes each part round by round until its target or the gate.

    Args:
        voice: it is not changed.
        settings: how much, how, and the gates.
        sentences: phoneme ids ``[phonemes]`` each, to teach with.
        held_out: likewise, every round is judged on.
        hear: says how a voice sounds beside the one given; ``None`` where that is not asked.
        cache: where teachers' outputs are kept.
        checkpoint_dir: where rounds are kept, and where an interrupted run goes on.
        on_teacher: told how many sentences the voice given was asked about.
        on_round: told after every round, with its part and how many there are to be of it.
        on_step: told after every training step, the steps of all rounds of a part counted together.

    Raises:
        RecipeError: something protected would be cut, or channels of a decoder that is no HiFi-GAN.
        DataError: no sentence is long enough to teach a decoder with.
        GateFailed: a training diverged, or something protected is not what it was.
    """
    refuse_protected(_groups(voice, settings), settings.protect)
    whole = {name: value.clone() for name, value in weights_of(voice).items()}
    current, known = voice, None
    latents = latents_of(voice, held_out) if settings.flow_ratio or settings.decoder_ratio else None
    parts: dict[str, Pruned[Voice, VoiceFidelity]] = {}
    shared = {"given": voice, "settings": settings, "held_out": held_out, "hear": hear, "whole": whole}
    chosen = list(sentences[: settings.sentences])

    def pruned(kind: VoicePart, total: int) -> Pruned[Voice, VoiceFidelity]:
        return prune_rounds(
            kind.start,
            kind,
            total,
            checkpoint_dir=checkpoint_dir,
            on_round=None if on_round is None else lambda fact, of: on_round(kind.part, fact, of),
            on_step=on_step,
        )

    if total := planned_rounds(settings):
        texts, asked = taught_texts(voice, chosen, 1, cache, on_teacher, with_x=True)
        encoder = PrunableEncoder(**shared, start=current, taught=asked.digest, texts=texts)
        done = parts["encoder"] = pruned(encoder, total)
        current, known = done.model, done.quality
    if total := rounds_for(settings.flow_ratio, settings):
        stages, asked = taught_latents(voice, chosen[: settings.flow_sentences], cache, on_teacher)
        flow = PrunableFlow(
            **shared, start=current, known=known, held_latents=latents, taught=asked.digest, latents=stages
        )
        done = parts["flow"] = pruned(flow, total)
        current, known = done.model, done.quality
    if total := rounds_for(settings.decoder_ratio, settings):
        sounds, asked = taught_waves(voice, chosen[: settings.decoder_sentences], cache, on_teacher)
        decoder = PrunableDecoder(
            **shared, start=current, known=known, held_latents=latents, taught=asked.digest, sounds=sounds
        )
        done = parts["decoder"] = pruned(decoder, total)
        current = done.model
    protected = verify_protected(whole, weights_of(current), settings.protect)
    return PrunedVoice(model=current, parts=parts, protected=protected)


def _groups(voice: Voice, settings: PruneVoice) -> list[Group]:
    """Everything a recipe takes something from."""
    flow = flow_groups(voice.config.flow) if settings.flow_ratio else ()
    decoder = decoder_groups(hifigan(voice)) if settings.decoder_ratio else ()
    return [*cut_groups(voice.config.encoder, settings), *flow, *decoder]
