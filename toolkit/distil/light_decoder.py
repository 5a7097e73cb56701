"""Distils a voice's HiFi-GAN decoder into a light one.

The layers of the first stage stay the teacher's. Second stage and head learn the teacher's audio: first by distances of
waveforms and spectra, then also by judges (`adversary`), which take the metallic sound away that distances leave. Of a
narrow decoder only the last stage is not the teacher's, and it learns the very waveform (`copying_loss`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.distil.adversary import Judges
from toolkit.distil.decoder_start import light_config, start_tail, take_front, taken_stages
from toolkit.distil.decoder_teacher import TaughtSound, taught_sound
from toolkit.distil.sound_windows import EDGE_FRAMES, SoundWindows
from toolkit.distil.voice_teacher import Asked, Progress
from toolkit.distil.waveform_losses import copying_loss, waveform_loss
from toolkit.models.vits.decoders import kind_of_decoder
from toolkit.models.vits.light_config import LightConfig, NarrowConfig
from toolkit.models.vits.light_generator import Trunk
from toolkit.models.vits.parts import DecoderPart
from toolkit.models.voice import Voice
from toolkit.recipe.shrinking import DecoderStudent
from toolkit.train.loop import StepProgress, asked, train_module, training_settings, weights_digest

_FITTED_SENTENCES: Final = 12
_JUDGED_RATIO: Final = 0.5
"""Share of a batch the judges hear: a step of theirs costs several of the student's."""
_PASSING_WEIGHT: Final = 0.3
_MATCHING_WEIGHT: Final = 1.0
_JUDGES_RATE: Final = 4e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DistilledDecoder:
    """What came of it.

    Attributes:
        module: the decoder part.
        config: its sizes.
        losses: of every step.
        asked: sentences the teacher had to be asked about.
    """

    module: DecoderPart = field(repr=False)
    config: LightConfig
    losses: tuple[float, ...] = field(repr=False)
    asked: int


def distil_decoder(
    voice: Voice,
    settings: DecoderStudent,
    sentences: Sequence[np.ndarray],
    *,
    seed: int = 0,
    cache: Path | None = None,
    checkpoint_dir: Path | None = None,
    on_teacher: Progress | None = None,
    on_step: StepProgress | None = None,
) -> DistilledDecoder:
    """Trains a light decoder.

    Args:
        voice: the teacher.
        settings: which kind, its width and training.
        sentences: phoneme ids ``[phonemes]`` each.
        seed: of weights, windows and judges.
        cache: where teachers' outputs are kept.
        checkpoint_dir: where to keep a checkpoint of the training, and to look for one.
        on_teacher: told how many sentences the teacher has said.
        on_step: told after every step.

    Raises:
        RecipeError: sizes that do not fit the teacher.
        DataError: no sentence is as long as a window.
        GateFailed: the training diverged.
    """
    teacher = voice.modules["decoder"].dec
    config = light_config(voice.config.generator, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = DecoderPart(config)
    student = module.dec
    take_front(student, teacher)
    module.eval().requires_grad_(False)
    taken = taken_stages(config)
    taught, known = taught_sound(voice, student, sentences[: settings.sentences], cache, on_teacher, taken=taken)
    start_tail(student, teacher, taught[:_FITTED_SENTENCES])
    losses = _train(voice, student, settings, taught, known, seed, checkpoint_dir, on_step)
    module.eval().requires_grad_(False)
    return DistilledDecoder(module=module, config=config, losses=tuple(losses), asked=known.asked)


def _train(
    voice: Voice,
    student: Trunk,
    settings: DecoderStudent,
    taught: Sequence[TaughtSound],
    known: Asked,
    seed: int,
    checkpoint_dir: Path | None,
    on_step: StepProgress | None,
) -> list[float]:
    how = training_settings(settings.training, seed)
    taken, stages = taken_stages(student.config), student.trunk.stages
    windows = SoundWindows(taught, math.prod(stage.rate for stage in stages[:taken]), voice.hop, "distil")
    distance = copying_loss if isinstance(student.config, NarrowConfig) else waveform_loss
    judges = Judges(_JUDGES_RATE, seed)
    first_judged = round(how.steps * (1.0 - settings.judged_ratio))
    edge = EDGE_FRAMES * voice.hop

    def loss_of(step: int) -> Tensor:
        steps, audio = windows.batch(how.batch, seed, step)
        mask = steps.new_ones(1, 1, windows.frames)
        made = student.sound(student.features(steps, mask, taken, len(stages)), mask)[:, 0]
        wanted, found = audio[:, edge:-edge], made[:, edge:-edge]
        loss = distance(wanted, found, voice.sample_rate_hz)
        if step >= first_judged:
            heard = max(1, round(how.batch * _JUDGED_RATIO))
            judges.learn(wanted[:heard], found[:heard])
            passing, matching = judges.loss(wanted[:heard], found[:heard])
            loss = loss + _PASSING_WEIGHT * passing + _MATCHING_WEIGHT * matching
        return loss

    trained = _tail(student)
    task = f"{kind_of_decoder(student.config).name} decoder"
    identity = f"{task} {known.digest} {asked(how)} {settings.judged_ratio} {weights_digest(trained)}"
    return train_module(
        trained, how, loss_of, identity=identity, task=task, checkpoint_dir=checkpoint_dir, on_progress=on_step,
        companions={"judges": judges, "judges_optimiser": judges.optimiser},
    )  # fmt: skip


def _tail(student: Trunk) -> nn.ModuleDict:
    """The layers that learn, under their names in the decoder: everything behind the stages that stay the teacher's."""
    taken = taken_stages(student.config)
    blocks = sum(len(stage.blocks) for stage in student.trunk.stages[:taken])
    kept = {"conv_pre", *(f"ups.{place}" for place in range(taken)), *(f"resblocks.{place}" for place in range(blocks))}
    found: dict[str, nn.Module] = {}
    for name, child in student.named_children():
        inside = child.named_children() if isinstance(child, nn.ModuleList) else [("", child)]
        for place, module in inside:
            path = f"{name}.{place}".rstrip(".")
            if path not in kept:
                found[path.replace(".", "_")] = module
    return nn.ModuleDict(found)
