"""HiFi-GAN generator of VITS: latent frames to audio, exact inside the mask of a padded bucket.

Upstream masks the input only, so padding leaks into the last frames through every convolution's bias. Here the mask,
repeated to each stage's rate, is multiplied after every upsampling and every residual addition: each convolution then
sees the zeros it would see at the end of an unpadded signal.

Parameter names are those of the Piper checkpoints with weight norm folded (``dec.resblocks.0.convs.1.weight`` …).
Source: Kong et al. 2020 (arXiv:2010.05646), VITS's variant without weight norm.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.models.vits.config import GeneratorConfig


def _convolution(channels: int, kernel: int, dilation: int, out: int | None = None) -> nn.Conv1d:
    padding = (kernel - 1) * dilation // 2
    return nn.Conv1d(channels, channels if out is None else out, kernel, dilation=dilation, padding=padding)


class ResBlock1(nn.Module):
    """Residual steps of two convolutions each, the second undilated.

    Args:
        channels: of the stage.
        kernel: width of all convolutions.
        dilations: of the first of each step.
        slope: negative slope of the leaky ReLUs.
        inners: channels between the two convolutions of each step, where they are not the stage's.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        dilations: tuple[int, ...],
        slope: float,
        inners: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.slope = slope
        between = (channels,) * len(dilations) if inners is None else inners
        steps = tuple(zip(between, dilations, strict=True))
        self.convs1 = nn.ModuleList(_convolution(channels, kernel, dilation, inner) for inner, dilation in steps)
        self.convs2 = nn.ModuleList(_convolution(inner, kernel, 1, channels) for inner, _ in steps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``[1, channels, time]``, already masked, to the same, masked."""
        for first, second in zip(self.convs1, self.convs2, strict=True):
            step = first(nn.functional.leaky_relu(x, self.slope)) * mask
            x = (second(nn.functional.leaky_relu(step, self.slope)) + x) * mask
        return x


class ResBlock2(nn.Module):
    """Residual steps of one convolution each."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...], slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.convs = nn.ModuleList(_convolution(channels, kernel, dilation) for dilation in dilations)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``[1, channels, time]``, already masked, to the same; masked between the steps, not after the last."""
        last = len(self.convs) - 1
        for index, convolution in enumerate(self.convs):
            x = convolution(nn.functional.leaky_relu(x, self.slope)) + x
            if index != last:
                x = x * mask
        return x


RESBLOCKS: dict[str, type[ResBlock1] | type[ResBlock2]] = {"1": ResBlock1, "2": ResBlock2}


class Generator(nn.Module):
    """Upsampling stages, each followed by residual blocks whose outputs are averaged.

    Args:
        config: widths, strides and dilations.
        style: channels of a style vector that is added after ``conv_pre``; 0 for none.

    Raises:
        ValueError: channels of more or fewer stages or blocks than there are, or none.
    """

    def __init__(self, config: GeneratorConfig, style: int = 0) -> None:
        super().__init__()
        _check_widths(config)
        self.config = config
        self.cond = nn.Conv1d(style, config.initial, 1) if style else None
        self.conv_pre = nn.Conv1d(config.channels, config.initial, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        channels = config.initial
        for stage, (rate, kernel, padding) in enumerate(
            zip(config.up_rates, config.up_kernels, config.up_paddings, strict=True)
        ):
            into, channels = channels, config.stage_widths[stage]
            self.ups.append(nn.ConvTranspose1d(into, channels, kernel, rate, padding))
            for width, dilations in zip(config.resblock_kernels, config.resblock_dilations, strict=True):
                self.resblocks.append(self._block(channels, width, dilations))
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3, bias=config.post_bias)

    def _block(self, channels: int, width: int, dilations: tuple[int, ...]) -> ResBlock1 | ResBlock2:
        config = self.config
        if config.inners is None:
            return RESBLOCKS[config.resblock](channels, width, dilations, config.slope)
        return ResBlock1(channels, width, dilations, config.slope, config.inners[len(self.resblocks)])

    def forward(self, z: Tensor, mask: Tensor, style: Tensor | None = None) -> Tensor:
        """Latent to audio.

        Args:
            z: ``[1, channels, frames]``.
            mask: ``[1, 1, frames]`` float32.
            style: ``[1, style, 1]``; only where the generator was made for one.

        Returns:
            Audio in [-1, 1], ``[1, 1, frames * hop]``; samples past the mask are meaningless.
        """
        config = self.config
        blocks = len(config.resblock_kernels)
        x = self.conv_pre(z * mask)
        x = (x if self.cond is None else x + self.cond(style)) * mask
        rate = 1
        for stage, up in enumerate(self.ups):
            rate *= config.up_rates[stage]
            stage_mask = nn.functional.interpolate(mask, scale_factor=float(rate), mode="nearest")
            x = up(nn.functional.leaky_relu(x, config.slope)) * stage_mask
            outputs = [block(x, stage_mask) for block in self.resblocks[stage * blocks : (stage + 1) * blocks]]
            total = outputs[0]
            for output in outputs[1:]:
                total = total + output
            # One pass over the signal for both the average and the mask.
            x = total * (stage_mask * (1.0 / blocks))
        x = nn.functional.leaky_relu(x, config.last_slope)
        return torch.tanh(self.conv_post(x))


def _check_widths(config: GeneratorConfig) -> None:
    stages, blocks = len(config.up_rates), len(config.up_rates) * len(config.resblock_kernels)
    inners = config.inners or ()
    if len(config.stage_widths) != stages or min(config.stage_widths, default=1) < 1:
        raise ValueError(f"channels {config.stage_widths} of {stages} stages")
    if config.inners is not None and config.resblock != "1":
        raise ValueError("channels between two convolutions, where a residual step has one")
    if len(inners) not in (0, blocks) or any(min(each, default=1) < 1 for each in inners):
        raise ValueError(f"channels between convolutions of {len(inners)} residual blocks of {blocks}")
