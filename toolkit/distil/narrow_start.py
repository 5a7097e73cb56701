"""A narrow decoder's sizes and first weights: HiFi-GAN whose last stage keeps some channels and all blocks but one.

What goes is what the sound misses least: of the blocks the one of the narrowest kernel (a medium Piper voice keeps
20 dB SNR without it, 7 and 5 dB without one of the others), of the channels those without which, one at a time, the
waveform changes least. The weights that are left are the teacher's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from toolkit.distil.decoder_teacher import TaughtSound
from toolkit.distil.unfit import unfit
from toolkit.models.vits.config import GeneratorConfig
from toolkit.models.vits.generator import Generator
from toolkit.models.vits.light_config import LightTrunk, NarrowConfig
from toolkit.models.vits.light_generator import NarrowGenerator, strided_post
from toolkit.recipe.shrinking import DecoderStudent

_WEIGHED_SENTENCES: Final = 4
_HEARD_FRAMES: Final = 200
"""Of each sentence, when channels are weighed: a few seconds say as much as a minute."""


def narrow_config(teacher: GeneratorConfig, asked: DecoderStudent) -> NarrowConfig:
    """Sizes of a student: the teacher's stages, the last one narrow.

    Raises:
        RecipeError: the last stage would be wider than the teacher's, or the teacher has one block a stage.
    """
    widths = [teacher.initial // 2 ** (number + 1) for number in range(len(teacher.up_rates))]
    if asked.last_width > widths[-1]:
        raise unfit(f"the student's last stage has {asked.last_width} channels, the teacher's {widths[-1]}",
                    "decoder", f"at most {widths[-1]}")  # fmt: skip
    kernels = teacher.resblock_kernels
    if len(kernels) < 2:
        raise unfit(
            "the teacher's decoder has one residual block a stage, and none to leave out", "decoder", "another voice"
        )
    every = tuple(range(len(kernels)))
    kept = tuple(place for place in every if kernels[place] != min(kernels))
    shapes = [*((width, every) for width in widths[:-1]), (asked.last_width, kept)]
    return NarrowConfig(trunk=LightTrunk.of(teacher, shapes), last_slope=teacher.last_slope)


@torch.no_grad()
def start_narrow(student: NarrowGenerator, teacher: Generator, shown: Sequence[TaughtSound]) -> None:
    """The last stage and the output.

    Args:
        student: its other stages are the teacher's already.
        teacher: gives the weights.
        shown: sentences to weigh channels on.
    """
    stage, kernels = student.trunk.stages[-1], teacher.config.resblock_kernels
    kept = _loudest(teacher, shown[:_WEIGHED_SENTENCES], stage.width)
    student.ups[-1].weight.copy_(teacher.ups[-1].weight[:, kept])
    student.ups[-1].bias.copy_(teacher.ups[-1].bias[kept])
    for own, kernel in zip(student.resblocks[-len(stage.blocks) :], stage.blocks, strict=True):
        source = teacher.resblocks[kernels.index(kernel) - len(kernels)].state_dict()
        own.load_state_dict(
            {name: value[kept][:, kept] if value.ndim > 1 else value[kept] for name, value in source.items()}
        )
    student.conv_post.weight.copy_(strided_post(teacher.conv_post.weight[:, kept], stage.rate))
    student.conv_post.bias.copy_(torch.zeros(1) if teacher.conv_post.bias is None else teacher.conv_post.bias)


def _loudest(teacher: Generator, shown: Sequence[TaughtSound], count: int) -> Tensor:
    """Places of the channels of the last stage without which, one at a time, the waveform would change most."""
    width = teacher.conv_post.weight.shape[1]
    missed = torch.zeros(width, dtype=torch.float64)
    for each in shown:
        rate = each.steps.shape[-1] // each.frames
        steps = torch.from_numpy(each.steps[:, : _HEARD_FRAMES * rate]).float()[None]
        x = teacher.ups[-1](functional.leaky_relu(steps, teacher.config.slope))
        whole = _said(teacher, x, x.new_ones(1, 1, 1))
        for channel in range(width):
            left = x.new_ones(1, width, 1)
            left[:, channel] = 0.0
            missed[channel] += (_said(teacher, x * left, left) - whole).square().sum().double()
    return missed.argsort(descending=True, stable=True)[:count].sort().values


def _said(teacher: Generator, x: Tensor, left: Tensor) -> Tensor:
    """Audio of the last stage; ``left`` ``[1, 1 or width, 1]`` is 0 for a channel that is taken out."""
    blocks = teacher.resblocks[-len(teacher.config.resblock_kernels) :]
    x = torch.stack([block(x, left) for block in blocks]).mean(0) * left
    return torch.tanh(teacher.conv_post(functional.leaky_relu(x, teacher.config.last_slope)))
