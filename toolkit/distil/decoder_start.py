"""A light decoder's sizes and first weights, taken from its HiFi-GAN teacher.

Of the first stage it gets the narrowest and the widest residual block. Of the second it gets some channels, those a
linear map to the audio would miss most, and the residual blocks cut to them. The head is the least-squares fit of the
teacher's audio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from toolkit.distil.decoder_teacher import TaughtSound
from toolkit.distil.least_squares import fitted
from toolkit.distil.narrow_start import narrow_config, start_narrow
from toolkit.distil.unfit import unfit
from toolkit.models.vits.config import GeneratorConfig
from toolkit.models.vits.generator import Generator
from toolkit.models.vits.light_config import (
    IstftConfig,
    LightConfig,
    LightTrunk,
    NarrowConfig,
    WavenetConfig,
)
from toolkit.models.vits.light_generator import IstftGenerator, NarrowGenerator, Trunk, WavenetGenerator
from toolkit.recipe.shrinking import DecoderStudent

_TAPS: Final = 3
_AT_ONCE: Final = 8
"""This share of the channels, one in so many, goes in a round."""
_RIDGE: Final = 1e-4
_GENTLE: Final = 0.1
"""Scale of first weights that should at first do little: the gains of bins, the WaveNet's outputs."""


def light_config(teacher: GeneratorConfig, asked: DecoderStudent) -> LightConfig:
    """Sizes of a student: most of the teacher's first stage, a narrow second, and a patch for all that follow.

    Of kind ``narrow``: see `narrow_start`.

    Raises:
        RecipeError: the teacher has too few stages, fewer channels there than asked for, or was pruned.
    """
    if not isinstance(teacher, GeneratorConfig) or len(teacher.up_rates) < 3:
        raise unfit("the teacher's decoder is no HiFi-GAN of three stages or more", "decoder", "distil such a voice")
    if teacher.widths is not None or teacher.inners is not None:
        raise unfit("channels were taken from the teacher's decoder", "decoder", "distil the voice it was pruned from")
    if asked.kind == "narrow":
        return narrow_config(teacher, asked)
    patch = math.prod(teacher.up_rates[2:])
    if asked.width > teacher.initial // 4:
        raise unfit(
            f"the student's second stage has {asked.width} channels, the teacher's {teacher.initial // 4}",
            "decoder",
            f"at most {teacher.initial // 4}",
        )
    if patch % 2:
        raise unfit(
            f"its stages after the second make {patch} samples, an odd number", "decoder", "distil another voice"
        )
    kernels = teacher.resblock_kernels
    wavenet = asked.kind == "wavenet"
    every = tuple(range(len(kernels)))
    first = tuple(sorted({kernels.index(min(kernels)), kernels.index(max(kernels))}))
    trunk = LightTrunk.of(teacher, ((teacher.initial // 2, first), (asked.width, () if wavenet else every)))
    return WavenetConfig(trunk=trunk, patch=patch) if wavenet else IstftConfig(trunk=trunk, patch=patch)


def taken_stages(config: LightConfig) -> int:
    """How many of the first stages stay the teacher's."""
    return len(config.trunk.stages) - 1 if isinstance(config, NarrowConfig) else 1


def take_front(student: Trunk, teacher: Generator) -> None:
    """Copies the layers of the stages that stay the teacher's."""
    kernels, own = teacher.config.resblock_kernels, 0
    with torch.no_grad():
        student.conv_pre.load_state_dict(teacher.conv_pre.state_dict())
        for number, stage in enumerate(student.trunk.stages[: taken_stages(student.config)]):
            student.ups[number].load_state_dict(teacher.ups[number].state_dict())
            for kernel in stage.blocks:
                source = teacher.resblocks[number * len(kernels) + kernels.index(kernel)]
                student.resblocks[own].load_state_dict(source.state_dict())
                own += 1


@torch.no_grad()
def start_tail(student: Trunk, teacher: Generator, shown: Sequence[TaughtSound]) -> None:
    """Everything behind the stages that stay the teacher's.

    Args:
        student: those stages are there already.
        teacher: gives the weights.
        shown: sentences to fit on.
    """
    if isinstance(student, NarrowGenerator):
        start_narrow(student, teacher, shown)
        return
    stage, patch = student.trunk.stages[1], student.config.patch
    heard = [(_tensor(each.steps)[None], _tensor(each.audio)) for each in shown]
    features = [functional.leaky_relu(_second_stage(teacher, steps)[0], student.trunk.slope) for steps, _ in heard]
    kept = most_needed(features, [audio.reshape(-1, patch) for _, audio in heard], stage.width)
    student.ups[1].weight.copy_(teacher.ups[1].weight[:, kept])
    student.ups[1].bias.copy_(teacher.ups[1].bias[kept])
    own, theirs = len(student.trunk.stages[0].blocks), len(teacher.config.resblock_kernels)
    for place, kernel in enumerate(stage.blocks):
        source = teacher.resblocks[theirs + teacher.config.resblock_kernels.index(kernel)].state_dict()
        cut = {name: value[kept][:, kept] if value.ndim > 1 else value[kept] for name, value in source.items()}
        student.resblocks[own + place].load_state_dict(cut)
    _start_head(student, heard)


def _start_head(student: Trunk, heard: Sequence[tuple[Tensor, Tensor]]) -> None:
    config, width = student.config, student.trunk.stages[-1].width
    if isinstance(student, IstftGenerator):
        head, targets = student.spectrum, [_spectra(audio, config.patch, config.overlap) for _, audio in heard]
        student.gain.weight.mul_(_GENTLE)
        student.gain.bias.zero_()
    elif isinstance(student, WavenetGenerator):
        head, targets = student.patch, [audio.reshape(-1, config.patch) for _, audio in heard]
        for layer in student.enc.res_skip_layers:
            layer.weight.mul_(_GENTLE)
            layer.bias.zero_()
    else:
        raise TypeError(type(student).__name__)
    rate = student.trunk.stages[0].rate
    rows = []
    for steps, _ in heard:
        x = student.features(steps, steps.new_ones(1, 1, steps.shape[-1] // rate), 1, 2)
        if isinstance(student, WavenetGenerator):
            mask = x.new_ones(1, 1, x.shape[-1])
            x = x + student.enc(functional.leaky_relu(x, student.trunk.slope), mask)
        rows.append(_taps(functional.leaky_relu(x[0], student.trunk.slope), config.head_kernel))
    weight, bias = fitted(torch.cat(rows), torch.cat(targets), ridge=_RIDGE)
    head.weight.copy_(weight.reshape(len(bias), width, config.head_kernel))
    head.bias.copy_(bias)


def _second_stage(teacher: Generator, steps: Tensor) -> Tensor:
    config = teacher.config
    blocks = len(config.resblock_kernels)
    x = teacher.ups[1](functional.leaky_relu(steps, config.slope))
    mask = x.new_ones(1, 1, x.shape[-1])
    return sum(block(x, mask) for block in teacher.resblocks[blocks : 2 * blocks]) / blocks


def most_needed(features: Sequence[Tensor], targets: Sequence[Tensor], count: int) -> Tensor:
    """Places of the channels to keep: round by round, those go without which least of the audio is lost."""
    rows, wanted = (torch.cat(list(each)).double() for each in ((_taps(x, _TAPS) for x in features), targets))
    square, cross = rows.T @ rows, rows.T @ wanted
    square += _RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    kept = list(range(features[0].shape[0]))
    while len(kept) > count:
        places = torch.tensor([channel * _TAPS + tap for channel in kept for tap in range(_TAPS)])
        inverse = torch.linalg.inv(square[places][:, places])
        weight = inverse @ cross[places]
        # By how much the squared error grows when a channel's taps are taken out and the others fitted again.
        lost = []
        for place in range(len(kept)):
            own = slice(place * _TAPS, (place + 1) * _TAPS)
            lost.append(float((weight[own] * torch.linalg.solve(inverse[own, own], weight[own])).sum()))
        going = torch.tensor(lost).argsort(stable=True)[: min(max(1, len(kept) // _AT_ONCE), len(kept) - count)]
        kept = [channel for place, channel in enumerate(kept) if place not in set(going.tolist())]
    return torch.tensor(kept)


def _taps(x: Tensor, count: int) -> Tensor:
    """``[channels, time]`` to ``[time, channels * count]``: what a convolution of that width sees."""
    around = functional.pad(x, (count // 2, count // 2)).unfold(1, count, 1)
    return around.permute(1, 0, 2).reshape(x.shape[1], -1)


def _spectra(audio: Tensor, patch: int, overlap: int) -> Tensor:
    """``[steps, 2 * bins]``: real and imaginary parts of the frames the inverse STFT would add up to the audio."""
    side = patch * (overlap // 2)
    frames = functional.pad(audio, (side, side)).unfold(0, patch * overlap, patch)
    found = torch.fft.rfft(frames, dim=1)
    return torch.cat([found.real, found.imag], dim=1)


def _tensor(array: object) -> Tensor:
    return torch.as_tensor(array).float()
