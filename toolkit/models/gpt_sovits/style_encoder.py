"""The reference encoder: a spectrogram of the speaker (and, in v2Pro, a speaker embedding) to the style vector ``ge``.

Source: ``module/modules.py`` (MelStyleEncoder) and ``module/models.py`` (get_ge, sv_emb) of upstream.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from toolkit.models.gpt_sovits.sovits_config import STYLE_HEADS, SovitsConfig
from toolkit.models.vits.attention import MASKED_SCORE


class _Fc(nn.Module):
    """A linear layer under upstream's name for it."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.fc = nn.Linear(into, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class _Conv(nn.Module):
    def __init__(self, into: int, out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(into, out, kernel, padding=(kernel - 1) // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _GatedConvolution(nn.Module):
    def __init__(self, hidden: int, kernel: int) -> None:
        super().__init__()
        self.hidden, self.conv1 = hidden, _Conv(hidden, 2 * hidden, kernel)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        gates = self.conv1(x * mask)
        return x + gates[:, : self.hidden] * torch.sigmoid(gates[:, self.hidden :])


class _SelfAttention(nn.Module):
    """Scores are divided by the root of all channels, not of a head's."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, 1.0 / math.sqrt(channels)
        self.w_qs = nn.Linear(channels, channels)
        self.w_ks = nn.Linear(channels, channels)
        self.w_vs = nn.Linear(channels, channels)
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (
            layer(x).reshape(1, x.shape[1], self.heads, -1).transpose(1, 2)
            for layer in (self.w_qs, self.w_ks, self.w_vs)
        )
        scores = torch.matmul(query * self.scale, key.transpose(2, 3)) + ((mask - 1.0) * -MASKED_SCORE).unsqueeze(1)
        mixed = torch.matmul(torch.softmax(scores, dim=-1), value)
        return self.fc(mixed.transpose(1, 2).reshape(x.shape)) + x


class StyleEncoder(nn.Module):
    """Spectrogram to style, averaged over the frames there are.

    Args:
        config: sizes.
    """

    def __init__(self, config: SovitsConfig) -> None:
        super().__init__()
        hidden = config.style_hidden
        # Positions 1, 2, 4 and 5 are activations and dropout in upstream, which have no tensors.
        self.spectral = nn.ModuleDict({"0": _Fc(config.style_bins, hidden), "3": _Fc(hidden, hidden)})
        self.temporal = nn.ModuleList(_GatedConvolution(hidden, config.style_kernel) for _ in range(2))
        self.slf_attn = _SelfAttention(hidden, STYLE_HEADS)
        self.fc = _Fc(hidden, config.gin)

    def forward(self, spectrogram: Tensor, mask: Tensor) -> Tensor:
        """``[1, bins, frames]`` and ``[1, 1, frames]`` to ``[1, gin, 1]``."""
        x, there = spectrogram.transpose(1, 2), mask.transpose(1, 2)
        for layer in self.spectral.values():
            x = layer(x)
            x = x * torch.tanh(nn.functional.softplus(x))  # Mish
        x = x.transpose(1, 2)
        for convolution in self.temporal:
            x = convolution(x, mask)
        x = self.fc(self.slf_attn(x.transpose(1, 2), mask))
        mean = (x * there).sum(dim=1, keepdim=True) / there.sum(dim=1, keepdim=True)
        return mean.transpose(1, 2)


class Enrolment(nn.Module):
    """Everything that makes the style of a voice from a recording.

    Args:
        config: sizes; with ``speaker`` (v2Pro) a speaker embedding is an input too.
    """

    def __init__(self, config: SovitsConfig) -> None:
        super().__init__()
        self.ref_enc = StyleEncoder(config)
        pro = config.speaker > 0
        self.sv_emb = nn.Linear(config.speaker, config.gin) if pro else None
        self.prelu = nn.PReLU(config.gin) if pro else None
        self.ge_to512 = nn.Linear(config.gin, config.mrte) if pro else None

    def forward(self, spectrogram: Tensor, mask: Tensor, speaker: Tensor | None = None) -> tuple[Tensor, ...]:
        """Style of one recording; that of several is the mean of theirs.

        Args:
            spectrogram: ``[1, bins, frames]``, its first ``style_bins`` bins.
            mask: ``[1, 1, frames]``.
            speaker: ``[1, speaker]`` (v2Pro).

        Returns:
            ``ge`` ``[1, gin, 1]``; in v2Pro also ``ge_text`` ``[1, mrte, 1]``.
        """
        style = self.ref_enc(spectrogram, mask)
        if self.sv_emb is None or self.prelu is None or speaker is None:
            return (style,)
        # PReLU written out: its weight is per channel, and channels lie on the second axis.
        x = style + self.sv_emb(speaker).unsqueeze(2)
        slope = self.prelu.weight.reshape(1, -1, 1)
        style = torch.relu(x) - slope * torch.relu(-x)
        return style, self.text_style(style)

    def text_style(self, style: Tensor) -> Tensor:
        """What the cross attention adds of a style ``[1, gin, 1]``: ``[1, mrte, 1]``."""
        return style if self.ge_to512 is None else self.ge_to512(style.transpose(1, 2)).transpose(1, 2)
