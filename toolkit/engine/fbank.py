"""Log mel energies as Kaldi makes them, which is what speaker encoders are trained on, in numpy.

Source: Kaldi's ``compute-fbank-feats`` with the options upstream uses: 80 bins of 16 kHz sound, frames of 25 ms every
10 ms that fit the sound whole, no dither, powers, Povey's window.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

_RATE_HZ: Final = 16000
_FRAME, _STEP, _FFT, _BINS = 400, 160, 512, 80
_PREEMPHASIS: Final = 0.97
_LOWEST_HZ: Final = 20.0
_EPSILON: Final = float(np.finfo(np.float32).eps)


def log_mel_energies(sound: np.ndarray) -> np.ndarray:
    """``[samples]`` at 16 kHz to ``[frames, 80] float32``.

    Raises:
        ValueError: the sound is shorter than one frame.
    """
    if len(sound) < _FRAME:
        raise ValueError(f"{len(sound)} samples are fewer than the {_FRAME} of one frame")
    frames = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float64), _FRAME)[::_STEP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - _PREEMPHASIS * before) * _window()
    powers = np.abs(np.fft.rfft(frames, _FFT, axis=1)) ** 2
    return np.log(np.maximum(powers[:, : _FFT // 2] @ _filters().T, _EPSILON)).astype(np.float32)


def _window() -> np.ndarray:
    """Povey's: Hann's to the power of 0.85."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME) / (_FRAME - 1))) ** 0.85


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


@lru_cache(maxsize=1)
def _filters() -> np.ndarray:
    """Triangles of equal width in mel: ``[80, 256]``."""
    lowest, highest = _mel(_LOWEST_HZ), _mel(_RATE_HZ / 2)
    step = (highest - lowest) / (_BINS + 1)
    centres = lowest + step * np.arange(1, _BINS + 1)[:, None]
    placed = _mel(np.arange(_FFT // 2) * (_RATE_HZ / _FFT))[None]
    return np.maximum(0.0, 1.0 - np.abs(placed - centres) / step)
