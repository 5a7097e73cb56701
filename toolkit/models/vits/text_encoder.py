"""Text encoder of VITS: phoneme ids to the mean and log deviation of the prior, one column per phoneme.

The stack runs on ``[batch, time, channels]``; only the feed-forward convolutions see ``[batch, channels, time]``.
Parameter names are those of the Piper checkpoints (``enc_p.encoder.attn_layers.0.conv_q.weight`` …).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from toolkit.models.vits.attention import RelativeAttention
from toolkit.models.vits.config import EncoderConfig


class ChannelNorm(nn.Module):
    """Layer normalisation over the last axis, with the parameter names of VITS (``gamma``, ``beta``)."""

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalises ``[batch, time, channels]``."""
        return nn.functional.layer_norm(x, (x.shape[-1],), self.gamma, self.beta, self.epsilon)


class FeedForward(nn.Module):
    """Two convolutions over time with a ReLU between them."""

    def __init__(self, channels: int, filter_channels: int, kernel: int) -> None:
        super().__init__()
        # VITS pads (kernel - 1) // 2 on the left and kernel // 2 on the right; for odd kernels that is symmetric.
        self.conv_1 = nn.Conv1d(channels, filter_channels, kernel, padding=kernel // 2)
        self.conv_2 = nn.Conv1d(filter_channels, channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``[batch, channels, time]`` to the same; ``mask`` is ``[batch, 1, time]``."""
        x = torch.relu(self.conv_1(x * mask))
        return self.conv_2(x * mask) * mask


class Encoder(nn.Module):
    """Post-norm transformer with relative attention."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        layers = range(config.layers)
        self.attn_layers = nn.ModuleList(
            RelativeAttention(config.hidden, config.heads, config.window, config.attention_width) for _ in layers
        )
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(config.hidden) for _ in layers)
        self.ffn_layers = nn.ModuleList(FeedForward(config.hidden, inner, config.kernel) for inner in config.inners)
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(config.hidden) for _ in layers)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``[batch, time, channels]`` to the same, padding not masked; ``mask`` is ``[batch, 1, time]``."""
        blocks = zip(self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True)
        for attention, norm_1, feed_forward, norm_2 in blocks:
            x = norm_1(x + attention(x, mask))
            x = norm_2(x + feed_forward(x.transpose(1, 2), mask).transpose(1, 2))
        return x


class TextEncoder(nn.Module):
    """Embedding, encoder and projection.

    Args:
        config: widths and depths.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.scale = math.sqrt(config.hidden)
        self.inter = config.inter
        self.emb = nn.Embedding(config.vocabulary, config.hidden)
        nn.init.normal_(self.emb.weight, 0.0, config.hidden**-0.5)
        self.encoder = Encoder(config)
        self.proj = nn.Conv1d(config.hidden, 2 * config.inter, 1)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encodes phonemes.

        Args:
            ids: ``[1, phonemes]`` int32; any valid id where the mask is 0.
            mask: ``[1, 1, phonemes]`` float32, 1 for phonemes and 0 for padding.

        Returns:
            ``x`` (for the duration predictor) ``[1, hidden, phonemes]``, ``m_p`` and ``logs_p`` ``[1, inter,
            phonemes]``; all 0 where the mask is 0.
        """
        x = self.emb(ids) * self.scale * mask.transpose(1, 2)
        x = self.encoder(x, mask).transpose(1, 2) * mask
        statistics = self.proj(x) * mask
        return x, statistics[:, : self.inter], statistics[:, self.inter :]
