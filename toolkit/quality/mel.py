"""Distances between log-mel spectrograms, and the spectrograms themselves for a report to draw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

FFT = 1024
HOP = 256
BANDS = 80
CEPSTRA = 24
"""Cepstral coefficients 1 to 24; coefficient 0 is loudness and is left out, as usual."""
FLOOR = 1e-5
"""Amplitude below which a band counts as silent, about -100 dB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MelDifference:
    """Two spectrograms and their difference, in dB.

    Attributes:
        reference_db: ``[bands, frames]``.
        candidate_db: ``[bands, frames]``.
        difference_db: candidate minus reference ``[bands, frames]``.
        seconds_per_frame: time step.
        centre_hz: centre frequency of each band ``[bands]``.
    """

    reference_db: np.ndarray
    candidate_db: np.ndarray
    difference_db: np.ndarray
    seconds_per_frame: float
    centre_hz: np.ndarray


@lru_cache(maxsize=4)
def filters(sample_rate_hz: int) -> np.ndarray:
    """Weights of the mel bands ``[bands, bins]`` float32."""
    import librosa

    return librosa.filters.mel(sr=sample_rate_hz, n_fft=FFT, n_mels=BANDS, fmin=0.0, fmax=sample_rate_hz / 2)


def log_mel(wave: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Natural-log mel amplitudes.

    Args:
        wave: ``[samples]``.
        sample_rate_hz: its sample rate.

    Returns:
        ``[80, frames]``.
    """
    import librosa

    # A wave shorter than a window is padded, so that every utterance has at least one frame.
    padded = np.pad(wave.astype(np.float32), (0, max(0, FFT - len(wave))))
    amplitude = np.abs(librosa.stft(padded, n_fft=FFT, hop_length=HOP, window="hann", center=True))
    return np.log(np.maximum(filters(sample_rate_hz) @ amplitude, FLOOR))


def log_mel_l1(reference: np.ndarray, candidate: np.ndarray, sample_rate_hz: int) -> float:
    """Mean absolute difference of the natural-log mel amplitudes."""
    return float(np.mean(np.abs(log_mel(candidate, sample_rate_hz) - log_mel(reference, sample_rate_hz))))


def mel_cepstral_distortion_db(reference: np.ndarray, candidate: np.ndarray, sample_rate_hz: int) -> float:
    """Mel-cepstral distortion in dB, frame by frame (the waveforms are time-aligned).

    Source: Kubichek 1993; the constant is ``10 / ln 10 * sqrt(2)``.
    """
    import scipy.fft

    cepstra = [
        scipy.fft.dct(log_mel(wave, sample_rate_hz), axis=0, norm="ortho")[1 : CEPSTRA + 1]
        for wave in (reference, candidate)
    ]
    distances = np.sqrt(2.0 * np.sum(np.square(cepstra[1] - cepstra[0]), axis=0))
    # The usual cepstrum is that of log|H| = sum c_m cos(m w); an orthonormal DCT of B bands gives sqrt(B / 2) c_m.
    return float(10.0 / np.log(10.0) * np.mean(distances) / np.sqrt(BANDS / 2.0))


def mel_difference(reference: np.ndarray, candidate: np.ndarray, sample_rate_hz: int) -> MelDifference:
    """Spectrograms of both waveforms and their difference, ready to draw."""
    import librosa

    decibels = [20.0 / np.log(10.0) * log_mel(wave, sample_rate_hz) for wave in (reference, candidate)]
    return MelDifference(
        reference_db=decibels[0],
        candidate_db=decibels[1],
        difference_db=decibels[1] - decibels[0],
        seconds_per_frame=HOP / sample_rate_hz,
        centre_hz=librosa.mel_frequencies(n_mels=BANDS + 2, fmin=0.0, fmax=sample_rate_hz / 2)[1:-1],
    )
