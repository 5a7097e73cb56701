"""Factories of tiny models, named on the command line as ``tests.end_to_end.small_models:...``."""

from __future__ import annotations

import torch
from torch import nn


class Convolutions(nn.Module):
    """``[1, 4, 24]`` to ``[1, 3, 24]``: two convolutions with a residual between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 8, 3, padding=1)
        self.middle = nn.Conv1d(8, 8, 3, padding=2, dilation=2)
        self.last = nn.Conv1d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        return self.last(x + torch.relu(self.middle(x)))


class Spectrum(nn.Module):
    """A layer TFLite has no operator for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.inv(x @ x.transpose(1, 2) + torch.eye(x.shape[1]))


class Unsupported(nn.Module):
    """``[1, 4, 24]`` through a convolution, then ``Spectrum`` as ``whitening``."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Conv1d(4, 4, 3, padding=1)
        self.whitening = Spectrum()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.whitening(self.front(x))


def convolutions() -> nn.Module:
    """The seeded convolutional model."""
    torch.manual_seed(0)
    return Convolutions().eval()


def unsupported() -> nn.Module:
    """The seeded model with a layer that has no translation."""
    torch.manual_seed(0)
    return Unsupported().eval()
