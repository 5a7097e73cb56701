"""Sizes of the light decoders, students of a HiFi-GAN generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.models.vits.config import GeneratorConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class LightStage:
    """One upsampling and the residual blocks behind it.

    Attributes:
        rate: stride of the transposed convolution.
        kernel: its width.
        padding: its padding.
        width: channels it gives.
        blocks: width of each residual block, side by side as in HiFi-GAN.
        dilations: dilations of each residual block.
    """

    rate: int
    kernel: int
    padding: int
    width: int
    blocks: tuple[int, ...] = ()
    dilations: tuple[tuple[int, ...], ...] = ()


STAGES = (
    LightStage(rate=8, kernel=16, padding=4, width=128, blocks=(3, 7), dilations=((1, 2), (3, 12))),
    LightStage(
        rate=8, kernel=16, padding=4, width=32, blocks=(3, 5, 7), dilations=((1, 2), (2, 6), (3, 12))
    ),
)  # fmt: skip
"""For a medium Piper voice: two of the three blocks of its first stage, and a second of half its channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LightTrunk:
    """What light decoders share: a generator whose stages may differ, and which may end early.

    Attributes:
        channels: channels of ``z``.
        initial: channels after ``conv_pre``.
        stages: the upsampling stages.
        resblock: as in ``GeneratorConfig``.
        slope: negative slope of every leaky ReLU.
    """

    channels: int = 192
    initial: int = 256
    stages: tuple[LightStage, ...] = STAGES
    resblock: str = "2"
    slope: float = 0.1

    @classmethod
    def of(cls, teacher: GeneratorConfig, shapes: Sequence[tuple[int, Sequence[int]]]) -> LightTrunk:
        """A trunk with a teacher's first stages.

        Args:
            teacher: gives all sizes but these.
            shapes: of each stage its channels, and the places of the residual blocks it keeps of the teacher's.
        """
        kernels, dilations = teacher.resblock_kernels, teacher.resblock_dilations
        stages = tuple(
            LightStage(
                rate=teacher.up_rates[number],
                kernel=teacher.up_kernels[number],
                padding=teacher.up_paddings[number],
                width=width,
                blocks=tuple(kernels[place] for place in kept),
                dilations=tuple(dilations[place] for place in kept),
            )
            for number, (width, kept) in enumerate(shapes)
        )
        return cls(
            channels=teacher.channels,
            initial=teacher.initial,
            stages=stages,
            resblock=teacher.resblock,
            slope=teacher.slope,
        )

    @property
    def rate(self) -> int:
        """Steps per frame at its end."""
        return math.prod(stage.rate for stage in self.stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class IstftConfig:
    """Inverse-STFT decoder.

    Attributes:
        trunk: all but the head.
        head_kernel: width of the convolution that gives the spectrum.
        patch: samples per step, the hop of the inverse STFT.
        overlap: frames that overlap at a sample, odd; the FFT has ``overlap * patch`` points.
    """

    trunk: LightTrunk = LightTrunk()
    head_kernel: int = 5
    patch: int = 4
    overlap: int = 5

    @property
    def channels(self) -> int:
        """Channels of ``z``."""
        return self.trunk.channels

    @property
    def hop(self) -> int:
        """Audio samples per frame."""
        return self.trunk.rate * self.patch

    @property
    def bins(self) -> int:
        """Frequencies from 0 to half the sample rate."""
        return self.overlap * self.patch // 2 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WavenetConfig:
    """Gated dilated convolutions that see both sides, and give a patch of samples a step.

    Attributes:
        trunk: all before the WaveNet; its last stage's width is the WaveNet's.
        kernel: width of the dilated convolutions.
        dilations: of each layer.
        head_kernel: width of the convolution that gives the samples.
        patch: samples per step.
    """

    trunk: LightTrunk = LightTrunk()
    kernel: int = 3
    dilations: tuple[int, ...] = (1, 3, 9, 27)
    head_kernel: int = 5
    patch: int = 4

    @property
    def channels(self) -> int:
        """Channels of ``z``."""
        return self.trunk.channels

    @property
    def hop(self) -> int:
        """Audio samples per frame."""
        return self.trunk.rate * self.patch


NARROW_STAGES = (
    *(
        LightStage(rate=8, kernel=16, padding=4, width=width, blocks=(3, 5, 7), dilations=((1, 2), (2, 6), (3, 12)))
        for width in (128, 64)
    ),
    LightStage(rate=4, kernel=8, padding=2, width=16, blocks=(5, 7), dilations=((2, 6), (3, 12))),
)
"""For a medium Piper voice: its first two stages, and of the last half the channels and two of the three blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowConfig:
    """HiFi-GAN with a narrower last stage.

    Attributes:
        trunk: all stages.
        last_slope: negative slope before ``conv_post``.
    """

    trunk: LightTrunk = LightTrunk(stages=NARROW_STAGES)
    last_slope: float = 0.01

    @property
    def channels(self) -> int:
        """Channels of ``z``."""
        return self.trunk.channels

    @property
    def hop(self) -> int:
        """Audio samples per frame."""
        return self.trunk.rate


LightConfig = IstftConfig | WavenetConfig | NarrowConfig
