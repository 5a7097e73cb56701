"""Losses and judges of a student's sound tell what is worse from what is better."""

from __future__ import annotations

import numpy as np
import torch

from toolkit.distil.adversary import Judges
from toolkit.distil.waveform_losses import copying_loss, mel_distance, waveform_loss
from toolkit.quality.mel import log_mel_l1

RATE_HZ = 22050


def tone(phase: float = 0.0, samples: int = 8192) -> torch.Tensor:
    """Two seconds' worth of a harmonic tone in noise, ``[2, samples]``."""
    time = torch.arange(samples) / RATE_HZ
    wave = sum(torch.sin(2 * torch.pi * 120 * k * time + phase * k) / k for k in range(1, 20)) * 0.1
    noise = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    return wave + 0.01 * noise


def test_the_loss_orders_errors_by_how_much_is_heard() -> None:
    clean, noise = tone(), torch.randn(2, 8192, generator=torch.Generator().manual_seed(1))
    losses = [float(waveform_loss(clean, clean + level * noise, RATE_HZ)) for level in (0.0, 0.001, 0.01, 0.1)]
    assert losses == sorted(losses) and len(set(losses)) == 4
    muffled = torch.nn.functional.avg_pool1d(clean[:, None], 9, 1, 4)[:, 0]
    assert float(waveform_loss(clean, muffled, RATE_HZ)) > losses[1]
    # Other phases with the same magnitudes cost something, but less than noise does.
    assert losses[0] < float(waveform_loss(clean, tone(1.0), RATE_HZ)) < losses[3]


def test_a_copy_upside_down_is_none() -> None:
    clean, noise = tone(), torch.randn(2, 8192, generator=torch.Generator().manual_seed(1))
    losses = [float(copying_loss(clean, clean + level * noise, RATE_HZ)) for level in (0.0, 0.001, 0.01, 0.1)]
    assert losses == sorted(losses) and len(set(losses)) == 4
    # What the other loss takes for better than some noise is, as a copy, worse.
    noisy = clean + 0.01 * noise
    assert float(copying_loss(clean, -clean, RATE_HZ)) > float(copying_loss(clean, noisy, RATE_HZ))
    assert float(waveform_loss(clean, -clean, RATE_HZ)) < float(waveform_loss(clean, noisy, RATE_HZ))


def test_of_a_copy_low_bins_count_more_than_high_ones() -> None:
    clean = tone()
    spectrum = torch.fft.rfft(clean)
    hertz = torch.fft.rfftfreq(clean.shape[-1], 1 / RATE_HZ)

    def without(low: float, high: float) -> float:
        left = spectrum * ((hertz < low) | (hertz >= high))
        return float(copying_loss(clean, torch.fft.irfft(left, clean.shape[-1]), RATE_HZ))

    assert without(1000.0, 2000.0) > without(9000.0, 10000.0) > float(copying_loss(clean, clean, RATE_HZ))


def test_the_mel_distance_is_the_one_quality_reports() -> None:
    clean, other = tone(), 0.5 * tone(1.0)
    found = float(mel_distance(clean[:1], other[:1], RATE_HZ))
    wanted = log_mel_l1(clean[0].numpy(), other[0].numpy(), RATE_HZ)
    assert abs(found - wanted) < 0.05 * wanted and abs(wanted - np.log(2)) < 0.2


def test_judges_learn_to_tell_and_what_they_say_moves_only_the_student() -> None:
    judges = Judges(1e-3, seed=0)
    real, made = tone(), (0.1 * torch.randn(2, 8192, generator=torch.Generator().manual_seed(2))).requires_grad_()
    losses = [float(judges.learn(real, made)) for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0] and made.grad is None
    before = [value.clone() for value in judges.parameters()]
    passing, matching = judges.loss(real, made)
    (passing + matching).backward()
    far = float(passing.detach())
    assert made.grad is not None and bool(made.grad.abs().sum() > 0)
    assert all(torch.equal(old, new) for old, new in zip(before, judges.parameters(), strict=True))
    near, same = (float(each) for each in judges.loss(real, real))
    assert same == 0.0 and near < far


def test_the_same_seed_gives_the_same_judges_and_leaves_torchs_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = Judges(1e-3, seed=1)
    assert torch.equal(torch.rand(3), expected)
    again, other = Judges(1e-3, seed=1), Judges(1e-3, seed=2)
    assert torch.equal(first.judges[0].last.weight, again.judges[0].last.weight)
    assert not torch.equal(first.judges[0].last.weight, other.judges[0].last.weight)
