"""A VITS voice's text encoder is pruned round by round: its blocks' channels and its heads; the voice given teaches.

Everything behind the encoder stays as it is, and reads what the encoder writes: the prior's mean and deviation, from
which the flow starts, and ``x``, from which durations are told. So these three are what a round is taught, in the
voice's own numbers, kept on disk. What a channel matters is how far they move without it, squared, to first order:
the loss itself says nothing where it is 0 (Gauss-Newton; the sum over outputs is drawn, Hutchinson 1990).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.distil.voice import prior_distance
from toolkit.distil.voice_batches import ids_side_by_side, side_by_side
from toolkit.distil.voice_teacher import TaughtText, taught_texts
from toolkit.models.vits.config import EncoderConfig
from toolkit.models.vits.parts import EncoderPart
from toolkit.models.voice import Teacher, Voice
from toolkit.prune.groups import Group, cut, voice_groups
from toolkit.prune.importance import BATCHES, magnitude_scores, taylor_scores
from toolkit.prune.protection import refuse_protected, verify_protected
from toolkit.prune.rounds import Pruned, Round, Sizes, planned_rounds, prune_rounds
from toolkit.prune.selection import heads_left, units_to_keep
from toolkit.prune.voice_fidelity import Hear, VoiceFidelity, fidelity
from toolkit.recipe.shrinking import PruneVoice
from toolkit.train.loop import StepProgress, batch_places, train_module, training_settings, weights_digest

_X_WEIGHT: Final = 1.0
"""Of ``x``, whose squared distance is a share of its own square, beside the prior's."""


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
    on_round: Callable[[Round[VoiceFidelity], int], None] | None = None,
    on_step: StepProgress | None = None,
) -> Pruned[Voice, VoiceFidelity]:
    """Prunes round by round until the target or the gate.

    Args:
        voice: it is not changed.
        settings: how much, how, and the gates.
        sentences: phoneme ids ``[phonemes]`` each, to teach with.
        held_out: likewise, every round is judged on.
        hear: says how a voice sounds beside the one given; ``None`` where that is not asked.
        cache: where teachers' outputs are kept.
        checkpoint_dir: where rounds are kept, and where an interrupted run goes on.
        on_teacher: told how many sentences the voice given was asked about.
        on_round: told after every round, with how many there are to be.
        on_step: told after every training step, the steps of all rounds counted together.

    Raises:
        RecipeError: something protected would be cut.
        GateFailed: a training diverged, or something protected is not what it was.
    """
    refuse_protected(_cut_groups(voice.config.encoder, settings), settings.protect)
    chosen = list(sentences[: settings.sentences])
    texts, known = taught_texts(voice, chosen, 1, cache, on_teacher, with_x=True)
    kind = _PrunableVoice(
        given=voice,
        settings=settings,
        texts=texts,
        taught=known.digest,
        held_out=held_out,
        hear=hear,
        whole={name: value.clone() for name, value in _weights_of(voice).items()},
    )
    return prune_rounds(
        voice, kind, planned_rounds(settings), checkpoint_dir=checkpoint_dir, on_round=on_round, on_step=on_step
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _PrunableVoice:
    """See `rounds.Prunable`.

    Attributes:
        given: the voice.
        settings: how much, how, and the gates.
        texts: what it says of sentences.
        taught: digest of it and of them.
        held_out: phoneme ids every round is judged on.
        hear: says how a voice sounds beside the one given.
        whole: all weights of the voice given, as they were before anything was done.
    """

    given: Voice = field(repr=False)
    settings: PruneVoice
    texts: Sequence[TaughtText] = field(repr=False)
    taught: str
    held_out: Sequence[np.ndarray] = field(repr=False)
    hear: Hear | None
    whole: Mapping[str, Tensor] = field(repr=False)

    @property
    def digest(self) -> str:
        digest = hashlib.sha256(f"{self.settings.model_dump_json()} {self.taught}".encode())
        for name in self.given.part_names:
            digest.update(weights_digest(self.given.modules[name]).encode())
        for ids in self.held_out:
            digest.update(np.ascontiguousarray(ids, dtype=np.int32).tobytes() + b";")
        return digest.hexdigest()

    def cut(self, current: Voice, number: int) -> Voice:
        settings, encoder, whole = self.settings, current.modules["encoder"], self.given.config.encoder
        groups = _cut_groups(current.config.encoder, settings)
        if settings.importance == "taylor":
            scores = taylor_scores(encoder, groups, self._projections(encoder, settings.seed + number))
        else:
            scores = magnitude_scores(encoder.state_dict(), groups)
        keeps = units_to_keep(scores, settings, number, inners=whole.inners, heads=whole.heads)
        return self.restored(cut(encoder.state_dict(), keeps), heads_left(settings, number, whole.heads), "")

    def train(self, smaller: Voice, number: int, checkpoint_dir: Path | None, on_step: StepProgress | None) -> None:
        encoder = smaller.modules["encoder"]
        how = replace(training_settings(self.settings.training, self.settings.seed), seed=self.settings.seed + number)
        train_module(
            encoder,
            how,
            lambda step: self._distance(encoder, self._places(how.batch, how.seed, step)),
            identity=f"prune {self.digest} round {number} {weights_digest(encoder)}",
            task=f"encoder, pruning round {number}",
            checkpoint_dir=checkpoint_dir,
            on_progress=on_step,
        )
        verify_protected(self.whole, _weights_of(smaller), self.settings.protect)

    def judge_cut(self, model: Voice) -> VoiceFidelity:
        """Without listening: what training is about to mend need not be heard."""
        return fidelity(model, self.given, self.held_out)

    def judge(self, model: Voice) -> VoiceFidelity:
        return fidelity(model, self.given, self.held_out, self.hear)

    def holds(self, found: VoiceFidelity, before: VoiceFidelity) -> bool:
        settings = self.settings
        drop, cosine = found.mos_drop, found.speaker_cosine
        return (
            math.isfinite(found.prior_snr_db)
            and found.prior_snr_db >= settings.prior_snr_db_min
            and found.frames_error <= settings.frames_error_max
            and (drop is None or drop <= settings.mos_drop_max)
            and (cosine is None or 1.0 - cosine <= settings.speaker_cosine_loss_max)
        )

    def sizes(self, model: Voice) -> Sizes:
        parameters = sum(value.numel() for value in _weights_of(model).values())
        return Sizes(inners=model.config.encoder.inners, heads=model.config.encoder.heads, parameters=parameters)

    def weights(self, model: Voice) -> Mapping[str, Tensor]:
        return model.modules["encoder"].state_dict()

    def restored(self, weights: Mapping[str, Tensor], heads: int, where: str) -> Voice:
        encoder = _encoder_of(weights, self.given.config.encoder, heads)
        return _with_encoder(self.given, encoder, weights)

    def quality(self, told: Mapping[str, Any]) -> VoiceFidelity:
        return VoiceFidelity(**told)

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
                (output * scale * _signs(output, signs)).sum()
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


def _cut_groups(config: EncoderConfig, settings: PruneVoice) -> list[Group]:
    """What a recipe takes something from."""
    wanted = {"mlp": settings.mlp_ratio, "heads": settings.heads_ratio}
    return [group for group in voice_groups(config) if wanted[group.kind]]


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, like.shape, generator=generator).to(like.dtype) * 2.0 - 1.0


def _encoder_of(weights: Mapping[str, Tensor], given: EncoderConfig, heads: int) -> EncoderConfig:
    """Sizes of an encoder with these weights, cut out of the one given."""
    inners = tuple(len(weights[f"enc_p.encoder.ffn_layers.{layer}.conv_1.weight"]) for layer in range(given.layers))
    width = heads * (given.attention_width // given.heads)
    return replace(
        given,
        filter_channels=inners[0] if len(set(inners)) == 1 else inners,
        heads=heads,
        attention=None if width == given.hidden else width,
    )


def _with_encoder(given: Voice, config: EncoderConfig, weights: Mapping[str, Tensor]) -> Voice:
    """The voice with a smaller encoder; it names the voice it was made of, or that voice's own teacher."""
    encoder = EncoderPart(config)
    encoder.load_state_dict({name: value.clone() for name, value in weights.items()})
    encoder.eval().requires_grad_(False)
    modules = {**given.modules, "encoder": encoder}
    origin = given.teacher or Teacher(name=given.name, sources=dict(given.sources), float32_bytes=given.float32_bytes)
    count = sum(value.numel() for module in modules.values() for value in module.parameters())
    return replace(
        given,
        name=f"{given.name.removesuffix('-pruned')}-pruned",
        label=f"{given.label.partition(', pruned to ')[0]}, pruned to {count / 1e6:.2f} M weights",
        sources={},
        config=replace(given.config, encoder=config),
        modules=modules,
        teacher=origin,
    )


def _weights_of(voice: Voice) -> dict[str, Tensor]:
    """All weights in torch, by checkpoint name."""
    return {name: value for part in voice.part_names for name, value in voice.modules[part].state_dict().items()}
