"""The reference spectrogram as upstream makes it for inference, in numpy.

Source: ``module/mel_processing.py`` of upstream; its export scripts add 1e-6 in place of 1e-8, inference does not.
"""

from __future__ import annotations

from typing import Final

import numpy as np

WINDOW: Final = 2048
HOP: Final = 640
_EPSILON: Final = np.float32(1e-8)


def reference_spectrogram(audio: np.ndarray, bins: int) -> np.ndarray:
    """Magnitudes of a recording.

    Args:
        audio: ``[samples]`` float32 at 32 kHz, more than 704 of them.
        bins: how many of the 1025 are kept: all for v1, 704 from v2 on.

    Returns:
        ``[1, bins, samples // 640]`` float32.

    Raises:
        ValueError: the recording is shorter than the padding that is mirrored.
    """
    pad = (WINDOW - HOP) // 2
    if len(audio) <= pad:
        raise ValueError(f"{len(audio)} samples are fewer than the {pad + 1} a spectrogram needs")
    padded = np.pad(audio.astype(np.float32), (pad, pad), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    # torch's Hann window is periodic.
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    spectrum = np.fft.rfft(frames * window, axis=1)
    magnitudes = np.sqrt(spectrum.real**2 + spectrum.imag**2 + _EPSILON).astype(np.float32)
    return np.ascontiguousarray(magnitudes.T[None, :bins])
