"""Multi-head self-attention with learned relative positions inside a window, written so that it exports statically.

Source: Shaw et al. 2018 (arXiv:1803.02155), as VITS uses it. The projections are ``nn.Linear`` on ``[batch, time,
channels]``: a 1x1 ``Conv1d`` here is what makes TensorFlow-side converters split heads along the wrong axis.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MASKED_SCORE = -1e4
"""Added to the score of a padded key; ``exp`` of it is exactly 0 in float32, and it still fits float16."""


class RelativeAttention(nn.Module):
    """Self-attention over phonemes; keys and values get an embedding of their distance to the query.

    Args:
        channels: input and output channels.
        heads: number of heads, a divisor of ``width``.
        window: largest distance that has its own embedding.
        width: channels of queries, keys and values; ``channels`` where no head was taken out.
    """

    def __init__(self, channels: int, heads: int, window: int, width: int | None = None) -> None:
        super().__init__()
        width = channels if width is None else width
        self.heads, self.head_channels, self.window = heads, width // heads, window
        self.conv_q = nn.Linear(channels, width)
        self.conv_k = nn.Linear(channels, width)
        self.conv_v = nn.Linear(channels, width)
        self.conv_o = nn.Linear(width, channels)
        scale = self.head_channels**-0.5
        self.emb_rel_k = nn.Parameter(torch.randn(1, 2 * window + 1, self.head_channels) * scale)
        self.emb_rel_v = nn.Parameter(torch.randn(1, 2 * window + 1, self.head_channels) * scale)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attends.

        Args:
            x: ``[batch, time, channels]``.
            mask: ``[batch, 1, time]``, 1 for phonemes and 0 for padding.

        Returns:
            ``[batch, time, channels]``; rows of padding are meaningless.

        Raises:
            ValueError: ``time`` is shorter than the window; buckets never are.
        """
        batch, time, _ = x.shape
        if time <= 2 * self.window:
            raise ValueError(f"{time} phonemes are fewer than the attention window of {2 * self.window + 1}")
        query = self._split(self.conv_q(x) * (1.0 / math.sqrt(self.head_channels)), batch, time)
        key = self._split(self.conv_k(x), batch, time)
        value = self._split(self.conv_v(x), batch, time)
        inside = self._inside(time, x)

        near = torch.matmul(query, self.emb_rel_k.transpose(1, 2).unsqueeze(1)) * inside
        scores = torch.matmul(query, key.transpose(2, 3)) + self._band_to_square(near, time)
        scores = scores + ((mask - 1.0) * -MASKED_SCORE).unsqueeze(1)
        weights = torch.softmax(scores, dim=-1)

        near = self._square_to_band(weights, time) * inside
        mixed = torch.matmul(weights, value) + torch.matmul(near, self.emb_rel_v.unsqueeze(1))
        return self.conv_o(mixed.transpose(1, 2).reshape(batch, time, self.heads * self.head_channels))

    def _split(self, x: Tensor, batch: int, time: int) -> Tensor:
        """``[batch, time, channels]`` to ``[batch, heads, time, head_channels]``."""
        return x.reshape(batch, time, self.heads, self.head_channels).transpose(1, 2)

    def _inside(self, time: int, like: Tensor) -> Tensor:
        """``[time, 2 * window + 1]``: 1 where the neighbour exists, else 0; a constant of the graph."""
        position = torch.arange(time).unsqueeze(1) + torch.arange(-self.window, self.window + 1).unsqueeze(0)
        return ((position >= 0) & (position < time)).to(like.dtype)

    def _band_to_square(self, band: Tensor, time: int) -> Tensor:
        """Puts column ``k`` of ``[b, h, time, 2w+1]`` on diagonal ``k - w`` of ``[b, h, time, time]``.

        Rows widened to ``time + 1`` and laid end to end shift by one per row when cut at ``time`` again. Entries whose
        neighbour does not exist must be 0: they land on other rows.
        """
        batch, heads = band.shape[:2]
        flat = nn.functional.pad(band, (0, time - 2 * self.window)).reshape(batch, heads, time * (time + 1))
        return flat[:, :, self.window : self.window + time * time].reshape(batch, heads, time, time)

    def _square_to_band(self, square: Tensor, time: int) -> Tensor:
        """The reverse of ``_band_to_square``; entries whose neighbour does not exist are arbitrary."""
        batch, heads = square.shape[:2]
        flat = nn.functional.pad(square.reshape(batch, heads, time * time), (self.window, time - self.window))
        return flat.reshape(batch, heads, time, time + 1)[:, :, :, : 2 * self.window + 1]
