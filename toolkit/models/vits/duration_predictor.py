"""The deterministic duration predictor of VITS: convolutions over phonemes, and nothing that is drawn.

The stochastic one needs spline flows that no mobile runtime has; this one is three kinds of ordinary layers, so that
a voice with it speaks from its converted graphs alone.
Source: Kim et al. 2021 (arXiv:2106.06103), ``DurationPredictor``; as in FastSpeech (arXiv:1905.09263).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from toolkit.models.vits.config import DurationsConfig
from toolkit.models.vits.text_encoder import ChannelNorm


class DurationPredictor(nn.Module):
    """Convolution, ReLU and layer normalisation, ``layers`` times, then one channel.

    Args:
        config: widths and depth.
    """

    def __init__(self, config: DurationsConfig) -> None:
        super().__init__()
        widths = [config.channels] + [config.hidden] * config.layers
        self.convs = nn.ModuleList(
            nn.Conv1d(wide, narrow, config.kernel, padding=config.kernel // 2) for wide, narrow in pairwise(widths)
        )
        self.norms = nn.ModuleList(ChannelNorm(config.hidden) for _ in range(config.layers))
        self.proj = nn.Conv1d(config.hidden, 1, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Predicts.

        Args:
            x: encoder output ``[batch, channels, phonemes]``.
            mask: ``[batch, 1, phonemes]`` float32, 1 for phonemes and 0 for padding.

        Returns:
            Natural log of frames ``[batch, 1, phonemes]``; 0 where the mask is 0.
        """
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(torch.relu(conv(x * mask)).transpose(1, 2)).transpose(1, 2)
        return self.proj(x * mask) * mask
