"""How far a student's sound is from its teacher's, in ways that are heard.

A decoder without noise of its own is a function: the student can be asked for the teacher's very waveform, which is
what keeps harmonics in step. Where that cannot be had (breath, hiss), the error of the waveform would be least with no
sound at all; the distances of magnitudes pull the other way.

All take ``[batch, samples]``. Source: multi-resolution STFT, Yamamoto et al. 2020, arXiv:1910.11480; mel distance, Kong
et al. 2020, arXiv:2010.05646; the noise-to-signal ratio is that of `toolkit.compress.losses`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from toolkit.quality import mel

_FFT_SIZES: Final = (256, 512, 1024)
_FLOOR: Final = 1e-5
"""Of a magnitude, and of a mel band, of a full-scale signal."""
_POWER_FLOOR: Final = 1e-6
_NEIGHBOURS: Final = 5
_RATIO_WEIGHT: Final = 0.1
"""Where the waveform cannot be known, the noise-to-signal ratio is least with too little sound: at a weight of 1 a
student is 4 dB too quiet between 250 and 1000 Hz, at a quarter still 2.5 dB. It is there to keep harmonics in step.
"""
_MEL_WEIGHT: Final = 2.0
_EQUAL_HZ: Final = 1000.0
"""Below it bins weigh about the same, above it less and less: as bands of the mel scale do."""
_GOOD_RATIO: Final = 1e-2
_LEVEL_WEIGHT: Final = 2.0
"""Without it a student of a medium Piper voice is 4 dB too quiet above 2 kHz; with the level put right by a filter, a
fourth of what it lost in predicted opinion was back.
"""


def waveform_loss(target: Tensor, output: Tensor, sample_rate_hz: int) -> Tensor:
    """Log-magnitude and log-mel distance, and a little of the noise-to-signal ratio, averaged over the resolutions."""
    ratio = target.new_zeros(())
    magnitude = target.new_zeros(())
    for size in _FFT_SIZES:
        wanted, found = stft(target, size), stft(output, size)
        ratio = ratio + _noise_to_signal(wanted, found, size)
        magnitude = magnitude + _magnitude_distance(wanted.abs(), found.abs(), size)
    count = len(_FFT_SIZES)
    mels = mel_distance(target, output, sample_rate_hz)
    return (_RATIO_WEIGHT * ratio + magnitude) / count + _MEL_WEIGHT * mels


def copying_loss(target: Tensor, output: Tensor, sample_rate_hz: int) -> Tensor:
    """Noise-to-signal ratio and log-magnitude distance, for a student that can say nearly the teacher's waveform.

    Bins weigh as densely as ears hear them, ``1 / (1 kHz + frequency)``. What has 20 dB already is worth little more.
    """
    total = target.new_zeros(())
    for size in _FFT_SIZES:
        wanted, found = stft(target, size), stft(output, size)
        ratio = _local_ratio(wanted, found, size)
        distance = torch.log10(_GOOD_RATIO + ratio) + 0.2 * torch.sqrt(ratio + 1e-6)
        distance = distance + _LEVEL_WEIGHT * _log_difference(wanted.abs(), found.abs(), size)
        weight = 1.0 / (_EQUAL_HZ + torch.arange(distance.shape[1]) * (sample_rate_hz / size))
        total = total + (distance * (weight / weight.mean())[:, None]).mean()
    return total / len(_FFT_SIZES)


def mel_distance(target: Tensor, output: Tensor, sample_rate_hz: int) -> Tensor:
    """Mean absolute difference of natural-log mel amplitudes, as `toolkit.quality.mel` measures it."""
    filters = _mel_filters(sample_rate_hz)
    wanted, found = (
        torch.log(torch.clamp(filters @ stft(wave, mel.FFT).abs(), min=_FLOOR)) for wave in (target, output)
    )
    return functional.l1_loss(found, wanted)


def log_magnitudes(wave: Tensor) -> Tensor:
    """``[batch, bins, frames]`` natural-log magnitudes at the middle resolution, which `waveform_loss` compares."""
    size = _FFT_SIZES[len(_FFT_SIZES) // 2]
    return torch.log(stft(wave, size).abs() + _FLOOR * size / 4.0)


def _noise_to_signal(wanted: Tensor, found: Tensor, size: int) -> Tensor:
    """The error of each bin over the target's power around it: decades of it, and a fifth of its root."""
    ratio = _local_ratio(wanted, found, size)
    return torch.log10(1e-3 + ratio).mean() + 0.2 * torch.sqrt(ratio + 1e-6).mean()


def _local_ratio(wanted: Tensor, found: Tensor, size: int) -> Tensor:
    power = wanted.real.square() + wanted.imag.square()
    local = functional.avg_pool2d(power[:, None], _NEIGHBOURS, 1, _NEIGHBOURS // 2, count_include_pad=False)[:, 0]
    error = found - wanted
    return (error.real.square() + error.imag.square()) / (local + _POWER_FLOOR * size / 256.0)


def _magnitude_distance(wanted: Tensor, found: Tensor, size: int) -> Tensor:
    return _log_difference(wanted, found, size).mean()


def _log_difference(wanted: Tensor, found: Tensor, size: int) -> Tensor:
    floor = _FLOOR * size / 4.0
    return (torch.log(found + floor) - torch.log(wanted + floor)).abs()


def stft(wave: Tensor, size: int) -> Tensor:
    """``[batch, bins, frames]`` complex; nothing is padded, so every frame is sound."""
    window = torch.hann_window(size)
    return torch.stft(wave, size, size // 4, window=window, center=False, return_complex=True)


@lru_cache(maxsize=4)
def _mel_filters(sample_rate_hz: int) -> Tensor:
    with torch.inference_mode(False):  # who asks first may only judge, who asks next may train
        return torch.from_numpy(mel.filters(sample_rate_hz))
