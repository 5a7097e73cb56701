"""What a narrow decoder keeps of its teacher, and what it leaves out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from toolkit.distil.decoder_start import start_tail, take_front
from toolkit.distil.decoder_teacher import TaughtSound, taught_sound
from toolkit.distil.narrow_start import narrow_config
from toolkit.errors import RecipeError
from toolkit.models.seeded import seeded_voice
from toolkit.models.vits.config import GeneratorConfig
from toolkit.models.vits.generator import Generator
from toolkit.models.vits.light_generator import NarrowGenerator, strided_post
from toolkit.models.vits.probe import probe_ids
from toolkit.models.voice import Voice
from toolkit.recipe.shrinking import DecoderStudent

ALL = 4
"""Channels of the seeded voice's last stage."""


@pytest.fixture
def voice() -> Voice:
    return seeded_voice()


def started(voice: Voice, last_width: int) -> tuple[NarrowGenerator, Generator, list[TaughtSound]]:
    """A student before its training, its teacher, and what the student is shown."""
    teacher = voice.modules["decoder"].dec
    config = narrow_config(voice.config.generator, DecoderStudent(kind="narrow", last_width=last_width))
    student = NarrowGenerator(config).eval().requires_grad_(False)
    take_front(student, teacher)
    taught, _ = taught_sound(voice, student, probe_ids(voice)[:2], None, taken=2)
    start_tail(student, teacher, taught)
    return student, teacher, taught


def test_the_last_stage_alone_is_narrow_and_lacks_the_narrowest_block() -> None:
    stages = narrow_config(GeneratorConfig(), DecoderStudent(kind="narrow", last_width=24)).trunk.stages
    assert [(stage.width, stage.blocks) for stage in stages] == [(128, (3, 5, 7)), (64, (3, 5, 7)), (24, (5, 7))]
    assert stages[-1].dilations == ((2, 6), (3, 12))


@pytest.mark.parametrize(
    ("teacher", "last_width"),
    [(GeneratorConfig(), 33), (replace(GeneratorConfig(), resblock_kernels=(3,), resblock_dilations=((1, 2),)), 16)],
)
def test_sizes_that_cannot_be_are_refused(teacher: GeneratorConfig, last_width: int) -> None:
    with pytest.raises(RecipeError) as caught:
        narrow_config(teacher, DecoderStudent(kind="narrow", last_width=last_width))
    assert caught.value.code == "recipe/out-of-range"


def difference(voice: Voice) -> float:
    """How far a student with all channels is from its teacher, largest sample."""
    student, teacher, _ = started(voice, ALL)
    z, mask = torch.randn(1, 32, 12, generator=torch.Generator().manual_seed(1)), torch.ones(1, 1, 12)
    return float((student(z, mask) - teacher(z, mask)).abs().max())


def test_a_student_whose_missing_block_says_nothing_of_its_own_says_the_same(voice: Voice) -> None:
    """Three blocks that do nothing average to what two do."""
    assert difference(voice) > 1e-3  # the twin: blocks that differ do not
    blocks = voice.modules["decoder"].dec.resblocks[6:]
    with torch.no_grad():
        for block in blocks:
            for convolution in block.convs:
                convolution.weight.zero_()
                convolution.bias.zero_()
    assert difference(voice) < 1e-6


def test_a_channel_nothing_is_heard_of_goes_first(voice: Voice) -> None:
    teacher = voice.modules["decoder"].dec
    with torch.no_grad():
        teacher.ups[2].weight[:, 1] = teacher.ups[2].bias[1] = 0.0
        for block in teacher.resblocks[6:]:
            for convolution in block.convs:
                convolution.weight[1] = convolution.bias[1] = 0.0
    student, teacher, _ = started(voice, ALL - 1)
    kept = [0, 2, 3]
    assert torch.equal(student.ups[2].weight, teacher.ups[2].weight[:, kept])
    assert torch.equal(student.resblocks[6].convs[0].weight, teacher.resblocks[7].convs[0].weight[kept][:, kept])
    assert torch.equal(student.conv_post.weight, strided_post(teacher.conv_post.weight[:, kept], 2))


def test_the_teachers_own_last_bias_is_taken_over(voice: Voice) -> None:
    teacher = voice.modules["decoder"].dec
    teacher.conv_post.bias = torch.nn.Parameter(torch.tensor([0.25]), requires_grad=False)
    student, _, _ = started(voice, 2)
    assert student.conv_post.bias.tolist() == [0.25, 0.25]
