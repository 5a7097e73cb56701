"""Light decoders. Two are a HiFi-GAN generator that ends early, and a head whose every step is a patch of samples.

HiFi-GAN spends two fifths of its time on the last stage, at the audio rate on few channels, and as much on the stage
before. In these two the last stage is gone, the one before is narrow, and one convolution brings the signal to the
audio rate:

* ``IstftGenerator``: spectra of short overlapping frames, then a windowed inverse DFT with overlap-add.
  Source: Kaneko et al. 2022, iSTFTNet, arXiv:2203.02395. Each bin is a gain times a real and an imaginary part, where
  iSTFTNet has a magnitude and a phase: no sine of an unbounded number, which half precision would ruin, and a linear
  head is a special case, so that the first weights can be a least-squares fit.
* ``WavenetGenerator``: gated dilated convolutions (van den Oord et al. 2016, arXiv:1609.03499), neither causal nor
  autoregressive, whose steps are patches of samples.

The third, ``NarrowGenerator``, keeps all stages: with 8-bit arithmetic the first ones cost next to nothing, and only
the last, which 8 bits would make hiss, is cut down.

Parameter names of the layers taken over are the teacher's. Masks stand wherever a convolution follows, as in
``Generator``: a padded bucket gives the samples of an unpadded signal.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.models.vits.flow import WaveNet
from toolkit.models.vits.generator import RESBLOCKS
from toolkit.models.vits.light_config import IstftConfig, LightConfig, NarrowConfig, WavenetConfig

_LARGEST_LOG = 5.0
"""Of a bin's gain, natural logarithm: a damaged or untrained head overflows nothing."""
_POST_KERNEL = 7


class Trunk(nn.Module):
    """Latent to features at ``rate`` steps a frame; a base class, so that its layers keep their names in the teacher.

    Args:
        config: sizes.
    """

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = trunk = config.trunk
        self.conv_pre = nn.Conv1d(trunk.channels, trunk.initial, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        channels = trunk.initial
        for stage in trunk.stages:
            self.ups.append(nn.ConvTranspose1d(channels, stage.width, stage.kernel, stage.rate, stage.padding))
            channels = stage.width
            for kernel, dilations in zip(stage.blocks, stage.dilations, strict=True):
                self.resblocks.append(RESBLOCKS[trunk.resblock](channels, kernel, dilations, trunk.slope))

    def features(self, z: Tensor, mask: Tensor, first: int, last: int) -> Tensor:
        """Runs stages ``first`` to ``last - 1``.

        Args:
            z: what stage ``first`` reads: the latent for 0, else what stage ``first - 1`` gave. Masked.
            mask: ``[1, 1, frames]``.
            first: 0 begins with ``conv_pre``.
            last: number of stages for all.

        Returns:
            ``[1, width, steps]``, masked, before the activation.
        """
        trunk = self.trunk
        x = self.conv_pre(z * mask) * mask if first == 0 else z
        before = sum(len(stage.blocks) for stage in trunk.stages[:first])
        rate = math.prod(stage.rate for stage in trunk.stages[:first])
        for number in range(first, last):
            stage = trunk.stages[number]
            rate *= stage.rate
            step_mask = functional.interpolate(mask, scale_factor=float(rate), mode="nearest")
            x = self.ups[number](functional.leaky_relu(x, trunk.slope)) * step_mask
            blocks = self.resblocks[before : before + len(stage.blocks)]
            before += len(stage.blocks)
            if len(blocks):
                total = blocks[0](x, step_mask)
                for block in blocks[1:]:
                    total = total + block(x, step_mask)
                x = total * (step_mask * (1.0 / len(blocks)))
        return x

    def sound(self, x: Tensor, mask: Tensor) -> Tensor:
        """Features of the last stage to audio ``[1, 1, frames * hop]``."""
        raise NotImplementedError

    def forward(self, z: Tensor, mask: Tensor) -> Tensor:
        """Latent to audio.

        Args:
            z: ``[1, channels, frames]``.
            mask: ``[1, 1, frames]`` float32.

        Returns:
            Audio in [-1, 1], ``[1, 1, frames * hop]``; samples past the mask are meaningless.
        """
        return self.sound(self.features(z, mask, 0, len(self.trunk.stages)), mask)


class IstftGenerator(Trunk):
    """Latent to audio through the spectra of short frames.

    Args:
        config: sizes.
    """

    def __init__(self, config: IstftConfig) -> None:
        super().__init__(config)
        width, half = config.trunk.stages[-1].width, config.head_kernel // 2
        self.spectrum = nn.Conv1d(width, 2 * config.bins, config.head_kernel, padding=half)
        self.gain = nn.Conv1d(width, config.bins, config.head_kernel, padding=half)
        # Neither a weight nor a buffer: it follows from the sizes, and no file need hold it.
        self.synthesis = overlap_add_kernel(config.patch, config.overlap)

    def sound(self, x: Tensor, mask: Tensor) -> Tensor:
        """See ``Trunk.sound``."""
        config = self.config
        x = functional.leaky_relu(x, config.trunk.slope)
        step_mask = functional.interpolate(mask, scale_factor=float(config.trunk.rate), mode="nearest")
        gain = torch.exp(torch.clamp(self.gain(x), max=_LARGEST_LOG)) * step_mask
        parts = self.spectrum(x) * torch.cat([gain, gain], dim=1)
        audio = functional.conv1d(parts, self.synthesis.to(parts.device), padding=config.overlap // 2)
        return torch.clamp(_in_order(audio), -1.0, 1.0)


class WavenetGenerator(Trunk):
    """Latent to audio through gated dilated convolutions.

    Args:
        config: sizes.
    """

    def __init__(self, config: WavenetConfig) -> None:
        super().__init__(config)
        width = config.trunk.stages[-1].width
        self.enc = WaveNet(width, config.kernel, config.dilations)
        self.patch = nn.Conv1d(width, config.patch, config.head_kernel, padding=config.head_kernel // 2)

    def sound(self, x: Tensor, mask: Tensor) -> Tensor:
        """See ``Trunk.sound``."""
        config = self.config
        step_mask = functional.interpolate(mask, scale_factor=float(config.trunk.rate), mode="nearest")
        # The sum of what came in and of every layer's skip: at first the WaveNet need only correct.
        x = x + self.enc(functional.leaky_relu(x, config.trunk.slope), step_mask)
        return torch.clamp(_in_order(self.patch(functional.leaky_relu(x, config.trunk.slope))), -1.0, 1.0)


class NarrowGenerator(Trunk):
    """Latent to audio through all stages of HiFi-GAN, whose widths and blocks are a stage's own.

    HiFi-GAN's output convolution has one output channel, where kernels compute sixteen. Here it strides over as many
    samples as the last stage makes of a step, and gives them at once: the same samples in a quarter of the time.

    Args:
        config: sizes.
    """

    def __init__(self, config: NarrowConfig) -> None:
        super().__init__(config)
        last = config.trunk.stages[-1]
        self.conv_post = nn.Conv1d(last.width, last.rate, _POST_KERNEL + last.rate - 1, last.rate, _POST_KERNEL // 2)

    def sound(self, x: Tensor, mask: Tensor) -> Tensor:
        """See ``Trunk.sound``."""
        patches = self.conv_post(functional.leaky_relu(x, self.config.last_slope))
        return torch.tanh(_in_order(patches))


def strided_post(weight: Tensor, rate: int) -> Tensor:
    """The kernel of ``NarrowGenerator.conv_post`` that gives what HiFi-GAN's gives.

    Args:
        weight: of HiFi-GAN's ``conv_post`` ``[1, width, 7]``.
        rate: samples at once.

    Returns:
        ``[rate, width, 7 + rate - 1]``: for sample ``n`` the kernel, ``n`` places later.
    """
    return torch.cat([functional.pad(weight, (place, rate - 1 - place)) for place in range(rate)])


def _in_order(patches: Tensor) -> Tensor:
    """``[batch, patch, steps]`` to ``[batch, 1, steps * patch]``."""
    return patches.transpose(1, 2).reshape(patches.shape[0], 1, -1)


def overlap_add_kernel(patch: int, overlap: int) -> Tensor:
    """The inverse STFT with a Hann window as the kernel of a convolution over frames.

    Frame ``t`` covers patch ``t`` and ``overlap // 2`` patches to each side of it, so patch ``t`` is a weighted sum of
    the spectra of ``overlap`` frames: what a transposed convolution of stride ``patch`` computes, sample by sample,
    written as an ordinary one whose channels are the samples of a patch. Shifted by ``1 / overlap`` of its length, a
    periodic Hann window adds up to ``overlap / 2``; the kernel is divided by that, so overlap-add is exact.

    Args:
        patch: samples per frame.
        overlap: frames that cover a sample; odd, at least 3.

    Returns:
        ``[patch, 2 * bins, overlap]`` float32: real parts, then imaginary parts.
    """
    size = patch * overlap
    time = torch.arange(size, dtype=torch.float64, device="cpu")
    window = (0.5 - 0.5 * torch.cos(2.0 * math.pi * time / size)) / (overlap / 2.0)
    # Every bin but the first and the last stands for itself and its conjugate.
    weight = torch.full((size // 2 + 1, 1), 2.0 / size, dtype=torch.float64, device="cpu")
    weight[0] = weight[-1] = 1.0 / size
    angle = 2.0 * math.pi * torch.arange(len(weight), dtype=torch.float64, device="cpu")[:, None] * time[None] / size
    basis = torch.cat([weight * torch.cos(angle), -weight * torch.sin(angle)]) * window
    # Sample n of patch t comes from frame t + k - overlap // 2, in which it is sample n + (overlap - 1 - k) * patch.
    return basis.reshape(len(basis), overlap, patch).flip(1).permute(2, 0, 1).contiguous().float()
