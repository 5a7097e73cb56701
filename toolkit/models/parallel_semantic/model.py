"""Phones to semantic codes without a loop: convolutions over phones, durations, convolutions over frames.

Blocks are MobileNetV2's (Sandler et al. 2018, arXiv:1801.04381) over time: a pointwise convolution widens, a depthwise
one looks around, a pointwise one narrows again without an activation, and the input is added. They have no batch norm:
its statistics would be of padded sentences. Each block begins as the identity instead, which serves depth as well (De
and Smith 2020, arXiv:2002.10444), and is what a folded batch norm leaves on the phone anyway.

Between the two halves the host repeats each phone's row for as long as the phone is said, as FastSpeech does (Ren et
al. 2019, arXiv:1905.09263); see `toolkit.engine.length_regulator`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.models.parallel_semantic.config import TIMING_ROWS, ParallelConfig

_TABLE_SPREAD = 0.5
HIDDEN, LOG_DURATIONS, LOGITS = "hidden", "log_durations", "logits"


class InvertedResidual(nn.Module):
    """Widen, look around, narrow, add.

    Args:
        width: channels outside.
        inner: channels inside.
        kernel: of the depthwise convolution, odd.
    """

    def __init__(self, width: int, inner: int, kernel: int) -> None:
        super().__init__()
        self.expand = nn.Conv1d(width, inner, 1)
        self.depthwise = nn.Conv1d(inner, inner, kernel, padding=kernel // 2, groups=inner)
        self.project = nn.Conv1d(inner, width, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Runs the block.

        Args:
            x: ``[batch, width, steps]``; padding is ignored whatever it holds.
            mask: ``[batch, 1, steps]``, 0 in padding.

        Returns:
            ``[batch, width, steps]``; padding holds anything.
        """
        # Biases make something of nothing: what the depthwise convolution sees past the end must be zero.
        inner = functional.relu6(self.expand(x)) * mask
        return x + self.project(functional.relu6(self.depthwise(inner)))


class PhoneEncoder(nn.Module):
    """Phones to a row and a duration each."""

    def __init__(self, config: ParallelConfig) -> None:
        super().__init__()
        width = config.width
        self.table = nn.Embedding(config.symbols, width)
        nn.init.normal_(self.table.weight, std=_TABLE_SPREAD)
        self.blocks = nn.ModuleList(
            InvertedResidual(width, width * config.expansion, config.phone_kernel) for _ in range(config.phone_blocks)
        )
        self.duration = nn.Conv1d(width, 1, 1)

    def forward(self, phones: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Runs it.

        Args:
            phones: ``[batch, phones]`` ids.
            mask: ``[batch, 1, phones]``, 0 in padding.

        Returns:
            Rows ``[batch, width, phones]`` and natural logs of frames of 40 ms ``[batch, 1, phones]``, both zero in
            padding.
        """
        x = self.table(phones).transpose(1, 2)
        for block in self.blocks:
            x = block(x, mask)
        return x * mask, self.duration(x) * mask


class FrameDecoder(nn.Module):
    """Rows of frames to logits of codes."""

    def __init__(self, config: ParallelConfig) -> None:
        super().__init__()
        width = config.width
        self.entry = nn.Conv1d(width + TIMING_ROWS, width, 1)
        self.blocks = nn.ModuleList(
            InvertedResidual(width, width * config.expansion, config.frame_kernel) for _ in range(config.frame_blocks)
        )
        self.head = nn.Conv1d(width, config.codes, 1)

    def forward(self, rows: Tensor, timing: Tensor, mask: Tensor, dropout: float = 0.0) -> Tensor:
        """Runs it.

        Args:
            rows: ``[batch, width, frames]``.
            timing: ``[batch, TIMING_ROWS, frames]``.
            mask: ``[batch, 1, frames]``, 0 in padding.
            dropout: share of features dropped before the head, in training.

        Returns:
            ``[batch, codes, frames]``, zero in padding.
        """
        x = self.entry(torch.cat([rows, timing], dim=1))
        for block in self.blocks:
            x = block(x, mask)
        if dropout:
            x = functional.dropout(x, dropout)
        return self.head(x) * mask


class ParallelSemantic(nn.Module):
    """Both halves.

    Args:
        config: sizes.
    """

    def __init__(self, config: ParallelConfig) -> None:
        super().__init__()
        self.config = config
        self.phones = PhoneEncoder(config)
        self.frames = FrameDecoder(config)
