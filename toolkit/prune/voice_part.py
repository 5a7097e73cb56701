"""What is the same for every part of a VITS voice that is pruned: how a round is judged, held and kept.

A round is held to the voice given, whatever was pruned before it: what its own part says, and how the whole voice
sounds.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.models.vits.config import VitsConfig
from toolkit.models.voice import Voice
from toolkit.prune.protection import verify_protected
from toolkit.prune.rounds import Sizes
from toolkit.prune.voice_fidelity import Hear, Latent, VoiceFidelity, fidelity, within
from toolkit.recipe.shrinking import PruneVoice, Training
from toolkit.train.loop import StepProgress, TrainingSettings, train_module, training_settings, weights_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class VoicePart(ABC):
    """See `rounds.Prunable`.

    Attributes:
        given: the voice that teaches, and that every round is held to.
        start: the voice the first round is cut from: the one given, or what pruning another part left of it.
        known: how near ``start`` is to the one given, where that was judged.
        settings: how much, how, and the gates.
        taught: digest of what the voice given says, and of the sentences.
        held_out: phoneme ids every round is judged on.
        hear: says how a voice sounds beside the one given.
        whole: all weights of the voice given, as they were before anything was done.
        held_latents: what the voice given's flow makes of held-out prior samples, see `voice_fidelity.latents_of`;
            ``None`` where neither flow nor decoder are other than its.
    """

    given: Voice = field(repr=False)
    start: Voice = field(repr=False)
    known: VoiceFidelity | None = None
    settings: PruneVoice
    taught: str
    held_out: Sequence[np.ndarray] = field(repr=False)
    hear: Hear | None
    whole: Mapping[str, Tensor] = field(repr=False)
    held_latents: Sequence[Latent] | None = field(default=None, repr=False)

    @property
    @abstractmethod
    def part(self) -> str:
        """Name of the part."""

    @abstractmethod
    def cut(self, current: Voice, number: int) -> Voice:
        """See `rounds.Prunable.cut`."""

    @property
    @abstractmethod
    def training(self) -> Training:
        """How the part is trained."""

    @abstractmethod
    def distance(self, module: nn.Module, how: TrainingSettings) -> Callable[[int], Tensor]:
        """For every step, how far a smaller part is from what it is taught."""

    @abstractmethod
    def restored(self, weights: Mapping[str, Tensor], heads: int, where: str) -> Voice:
        """See `rounds.Prunable.restored`."""

    @abstractmethod
    def widths(self, config: VitsConfig) -> tuple[int, ...]:
        """Units each layer of the part has."""

    def train(self, smaller: Voice, number: int, checkpoint_dir: Path | None, on_step: StepProgress | None) -> None:
        """Towards what the voice given makes of the same.

        Raises:
            DataError: what was said is too little to be taught with.
            GateFailed: the training diverged, or something protected is not what it was.
        """
        module = smaller.modules[self.part]
        how = training_settings(self.training, self.settings.seed + number)
        train_module(
            module,
            how,
            self.distance(module, how),
            identity=f"prune {self.digest} round {number} {weights_digest(module)}",
            task=f"{self.part}, pruning round {number}",
            checkpoint_dir=checkpoint_dir,
            on_progress=on_step,
        )
        verify_protected(self.whole, weights_of(smaller), self.settings.protect)

    @property
    def digest(self) -> str:
        """Of everything that decides the rounds."""
        digest = hashlib.sha256(f"{self.part} {self.settings.model_dump_json()} {self.taught}".encode())
        for voice in (self.given, self.start):
            for name in voice.part_names:
                digest.update(weights_digest(voice.modules[name]).encode())
        for ids in self.held_out:
            digest.update(np.ascontiguousarray(ids, dtype=np.int32).tobytes() + b";")
        return digest.hexdigest()

    def judge_cut(self, model: Voice) -> VoiceFidelity:
        """Without listening: what training is about to mend need not be heard."""
        return fidelity(model, self.given, self.held_out, latents=self.held_latents)

    def judge(self, model: Voice) -> VoiceFidelity:
        """How a voice does; what pruning another part left was judged there."""
        if model is self.start and self.known is not None:
            return self.known
        return fidelity(model, self.given, self.held_out, self.hear, self.held_latents)

    def holds(self, found: VoiceFidelity, before: VoiceFidelity) -> bool:
        """Whether all gates do."""
        return within(found, self.settings)

    def sizes(self, model: Voice) -> Sizes:
        """What is left of a voice."""
        parameters = sum(value.numel() for value in weights_of(model).values())
        return Sizes(inners=self.widths(model.config), heads=model.config.encoder.heads, parameters=parameters)

    def weights(self, model: Voice) -> Mapping[str, Tensor]:
        """The part's own: the others are the start's."""
        return model.modules[self.part].state_dict()

    def quality(self, told: Mapping[str, Any]) -> VoiceFidelity:
        """See `rounds.Prunable.quality`."""
        return VoiceFidelity(**told)


def with_part(voice: Voice, part: str, module: nn.Module, config: VitsConfig, weights: Mapping[str, Tensor]) -> Voice:
    """The voice with a smaller part; it names the voice it was made of, or that voice's own teacher.

    Args:
        voice: gives all other parts.
        part: name of the part.
        module: the part with sizes of ``config``.
        config: of the whole voice.
        weights: of the part; they are copied.
    """
    module.load_state_dict({name: value.clone() for name, value in weights.items()})
    module.eval().requires_grad_(False)
    modules = {**voice.modules, part: module}
    count = sum(value.numel() for each in modules.values() for value in each.parameters())
    return replace(
        voice,
        name=f"{voice.name.removesuffix('-pruned')}-pruned",
        label=f"{voice.label.partition(', pruned to ')[0]}, pruned to {count / 1e6:.2f} M weights",
        sources={},
        config=config,
        modules=modules,
        teacher=voice.origin,
    )


def weights_of(voice: Voice) -> dict[str, Tensor]:
    """All weights in torch, by checkpoint name."""
    return {name: value for part in voice.part_names for name, value in voice.modules[part].state_dict().items()}


def random_signs(like: Tensor, generator: torch.Generator) -> Tensor:
    """1 or -1 for every number of a tensor."""
    return torch.randint(0, 2, like.shape, generator=generator).to(like.dtype) * 2.0 - 1.0
