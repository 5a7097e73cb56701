"""Two kinds of judges that learn to tell a student's sound from its teacher's, and what the student makes of them.

Distances of waveforms and spectra leave a metallic sound: where the student cannot know the teacher's waveform, the
least distance is an average that no teacher ever said. A judge knows what it does say. Judges are a device of training;
nothing of them is in the student. They are small: a step of theirs costs about what a step of the student costs.

Sources: periods, Kong et al. 2020 (HiFi-GAN), arXiv:2010.05646; spectra, Jang et al. 2021 (UnivNet), arXiv:2106.07889;
least squares, Mao et al. 2017, arXiv:1611.04076; feature matching, Larsen et al. 2016, arXiv:1512.09300.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from toolkit.distil.waveform_losses import stft

_SLOPE: Final = 0.1
_PERIODS: Final = (2, 3, 5, 7, 11)
_PERIOD_WIDTHS: Final = (16, 32, 64, 64)
_FFT_SIZES: Final = (512, 1024)
_SPECTRUM_WIDTHS: Final = (8, 16, 16)

Opinion = tuple[Tensor, list[Tensor]]
"""What a judge says of every place, and its features on the way."""


class PeriodJudge(nn.Module):
    """Sees every ``period``-th sample as a signal of its own.

    Args:
        period: samples.
    """

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period
        self.layers = nn.ModuleList()
        channels = 1
        for place, width in enumerate(_PERIOD_WIDTHS):
            stride = 3 if place + 1 < len(_PERIOD_WIDTHS) else 1
            self.layers.append(weight_norm(nn.Conv2d(channels, width, (5, 1), (stride, 1), (2, 0))))
            channels = width
        self.last = weight_norm(nn.Conv2d(channels, 1, (3, 1), padding=(1, 0)))

    def forward(self, wave: Tensor) -> Opinion:
        """``[batch, samples]``."""
        rows = wave.shape[1] // self.period
        x = wave[:, : rows * self.period].reshape(wave.shape[0], 1, rows, self.period)
        return _opinion(x, self.layers, self.last)


class SpectrumJudge(nn.Module):
    """Sees log-magnitudes of one resolution.

    Args:
        size: points of the FFT.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.layers = nn.ModuleList()
        channels = 1
        for width in _SPECTRUM_WIDTHS:
            self.layers.append(weight_norm(nn.Conv2d(channels, width, (9, 3), (2, 1), (4, 1))))
            channels = width
        self.last = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, wave: Tensor) -> Opinion:
        """``[batch, samples]``."""
        magnitude = stft(wave, self.size).abs()
        return _opinion(torch.log(magnitude + 1e-3)[:, None], self.layers, self.last)


class Judges(nn.Module):
    """All of them, with the optimiser that teaches them.

    Args:
        learning_rate: of the judges.
        seed: of their first weights.
    """

    def __init__(self, learning_rate: float, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.judges = nn.ModuleList(
                [*(PeriodJudge(period) for period in _PERIODS), *(SpectrumJudge(size) for size in _FFT_SIZES)]
            )
        self.optimiser = torch.optim.AdamW(self.parameters(), lr=learning_rate, betas=(0.8, 0.99), weight_decay=0.01)

    def forward(self, wave: Tensor) -> list[Opinion]:
        """What each judge says of ``[batch, samples]``."""
        return [judge(wave) for judge in self.judges]

    def learn(self, teacher: Tensor, student: Tensor) -> Tensor:
        """One step of the judges: 1 for the teacher, 0 for the student; returns their loss."""
        self.requires_grad_(True)
        loss = torch.zeros(())
        for (real, _), (made, _) in zip(self(teacher), self(student.detach()), strict=True):
            loss = loss + (1.0 - real).square().mean() + made.square().mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.detach() / len(self.judges)

    def loss(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        """For the student: how far it is from passing, and from the teacher in the judges' features; means over judges.

        The features' distances are relative to the teacher's own size, so that no layer counts more for its scale.
        """
        self.requires_grad_(False)
        with torch.no_grad():
            wanted = self(teacher)
        passing, matching = torch.zeros(()), torch.zeros(())
        for (_, real), (said, made) in zip(wanted, self(student), strict=True):
            passing = passing + (1.0 - said).square().mean()
            matching = matching + torch.stack([_relative(a, b) for a, b in zip(real, made, strict=True)]).mean()
        return passing / len(self.judges), matching / len(self.judges)


def _opinion(x: Tensor, layers: Sequence[nn.Module] | nn.ModuleList, last: nn.Module) -> Opinion:
    features = []
    for layer in layers:
        x = functional.leaky_relu(layer(x), _SLOPE)
        features.append(x)
    return last(x), features


def _relative(wanted: Tensor, found: Tensor) -> Tensor:
    return functional.l1_loss(found, wanted) / (wanted.abs().mean() + 1e-6)
