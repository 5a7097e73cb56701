"""``enc_p`` of SoVITS: semantic codes and phones to the mean and log deviation of the prior, two columns a code.

Runs on ``[batch, time, channels]`` like ``vits.text_encoder``, whose transformer it shares.
Source: ``module/models.py`` (TextEncoder) and ``module/mrte_model.py`` of upstream.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from toolkit.models.gpt_sovits.sovits_config import CROSS_HEADS, SovitsConfig
from toolkit.models.vits.attention import MASKED_SCORE
from toolkit.models.vits.text_encoder import Encoder


class CrossAttention(nn.Module):
    """Frames attend to phones, without positions."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_channels = heads, channels // heads
        self.conv_q = nn.Linear(channels, channels)
        self.conv_k = nn.Linear(channels, channels)
        self.conv_v = nn.Linear(channels, channels)
        self.conv_o = nn.Linear(channels, channels)

    def forward(self, frames: Tensor, phones: Tensor, phones_mask: Tensor) -> Tensor:
        """``[1, frames, channels]`` and ``[1, phones, channels]`` to ``[1, frames, channels]``."""
        query = self._split(self.conv_q(frames) * (1.0 / math.sqrt(self.head_channels)))
        scores = torch.matmul(query, self._split(self.conv_k(phones)).transpose(2, 3))
        weights = torch.softmax(scores + ((phones_mask - 1.0) * -MASKED_SCORE).unsqueeze(1), dim=-1)
        mixed = torch.matmul(weights, self._split(self.conv_v(phones)))
        return self.conv_o(mixed.transpose(1, 2).reshape(frames.shape))

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, self.head_channels).transpose(1, 2)


class TextTimbreEncoder(nn.Module):
    """MRTE: what is said (codes), how it is written (phones) and who says it (style) come together.

    Args:
        hidden: channels outside.
        channels: channels inside, and of the style vector.
        style: whether the style vector is an input; else it is folded into ``c_post``'s bias.
    """

    def __init__(self, hidden: int, channels: int, *, style: bool) -> None:
        super().__init__()
        self.style = style
        self.cross_attention = CrossAttention(channels, CROSS_HEADS)
        self.c_pre = nn.Linear(hidden, channels)
        self.text_pre = nn.Linear(hidden, channels)
        self.c_post = nn.Linear(channels, hidden)

    def forward(
        self, frames: Tensor, frames_mask: Tensor, phones: Tensor, phones_mask: Tensor, style: Tensor | None
    ) -> Tensor:
        """``[1, frames, hidden]`` to the same; ``style`` is ``[1, channels, 1]``."""
        inside, there = self.c_pre(frames), frames_mask.transpose(1, 2)
        x = self.cross_attention(inside * there, self.text_pre(phones), phones_mask) + inside
        if self.style and style is not None:
            x = x + style.transpose(1, 2)
        return self.c_post(x * there)


class PriorEncoder(nn.Module):
    """Codes and phones to statistics of the prior.

    Args:
        config: sizes.
        style: whether the style vector is an input; else it is folded.
    """

    def __init__(self, config: SovitsConfig, *, style: bool) -> None:
        super().__init__()
        self.inter = config.inter
        self.code_table = nn.Embedding(config.codes, config.hidden)
        self.text_embedding = nn.Embedding(config.symbols, config.hidden)
        self.encoder_ssl = Encoder(config.stacks["encoder_ssl"])
        self.encoder_text = Encoder(config.stacks["encoder_text"])
        self.mrte = TextTimbreEncoder(config.hidden, config.mrte, style=style)
        self.encoder2 = Encoder(config.stacks["encoder2"])
        self.proj = nn.Conv1d(config.hidden, 2 * config.inter, 1)

    def forward(
        self, codes: Tensor, phones: Tensor, codes_mask: Tensor, phones_mask: Tensor, style: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Statistics at the speed of the codes.

        Args:
            codes: ``[1, n]`` int32.
            phones: ``[1, phones]`` int32, of the sentence that is spoken, not of the reference.
            codes_mask: ``[1, 1, 2n]`` float32: frames, two a code.
            phones_mask: ``[1, 1, phones]`` float32.
            style: ``[1, mrte, 1]`` where it is not folded.

        Returns:
            ``m_p`` and ``logs_p``, ``[1, inter, 2n]``, 0 where the mask is 0.
        """
        return self.statistics(self.frames(codes, phones, codes_mask, phones_mask, style), codes_mask)

    def frames(
        self, codes: Tensor, phones: Tensor, codes_mask: Tensor, phones_mask: Tensor, style: Tensor | None = None
    ) -> Tensor:
        """What the last encoder gives, ``[1, 2n, hidden]``; see ``forward``."""
        there, spoken = codes_mask.transpose(1, 2), phones_mask.transpose(1, 2)
        once = _rows(self.code_table, codes)
        # Nearest neighbour, twice as many: each row beside itself, then laid end to end.
        twice = torch.cat([once, once], dim=2).reshape(1, 2 * once.shape[1], once.shape[2])
        x = self.encoder_ssl(twice * there, codes_mask) * there
        text = self.encoder_text(_rows(self.text_embedding, phones) * spoken, phones_mask) * spoken
        x = self.mrte(x, codes_mask, text, phones_mask, style)
        return self.encoder2(x * there, codes_mask) * there

    def statistics(self, frames: Tensor, mask: Tensor, speed: float = 1.0) -> tuple[Tensor, Tensor]:
        """``m_p`` and ``logs_p`` of ``frames`` ``[1, T, hidden]``; a speed other than 1 resamples them first.

        Upstream interpolates to ``int(T / speed) + 1`` frames, so a speed of exactly 1 adds none.
        """
        x = frames.transpose(1, 2)
        if speed != 1.0:
            length = int(x.shape[2] / speed) + 1
            x = nn.functional.interpolate(x, size=length, mode="linear")
            mask = nn.functional.interpolate(mask, size=length, mode="nearest")
        statistics = self.proj(x) * mask
        return statistics[:, : self.inter], statistics[:, self.inter :]


def _rows(table: nn.Embedding, ids: Tensor) -> Tensor:
    """``[1, n]`` ids to ``[1, n, width]``; the table is read with a list, as EMBEDDING_LOOKUP wants it."""
    return table(ids.reshape(ids.shape[1])).unsqueeze(0)
