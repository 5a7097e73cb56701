"""Samples to files: level, pause between sentences, and a WAV that is whole or not there."""

from __future__ import annotations

import errno
import os
import tempfile
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np

PAUSE_SECONDS = 0.3


def pause(sample_rate_hz: int) -> np.ndarray:
    """The silence after a sentence."""
    return np.zeros(int(sample_rate_hz * PAUSE_SECONDS), np.float32)


def levelled(sentence: np.ndarray) -> np.ndarray:
    """A sentence that cannot clip: divided by its peak where that is above 1, untouched otherwise."""
    peak = float(np.abs(sentence).max(initial=0.0))
    return sentence / np.float32(peak) if peak > 1.0 else sentence


def pcm16(samples: np.ndarray) -> bytes:
    """Samples in [-1, 1] as little-endian 16-bit; what lies outside is clipped."""
    return (np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def write_wave(out: Path, pieces: Iterable[np.ndarray], sample_rate_hz: int) -> int:
    """Writes pieces as they come into a file that appears when the last one is written.

    Returns:
        How many samples there are.

    Raises:
        OSError: nothing can be written there.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.is_dir():  # before minutes of speech, not after them
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(out))
    written = 0
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        temporary = Path(folder) / out.name
        with wave.open(str(temporary), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(sample_rate_hz)
            for piece in pieces:
                file.writeframes(pcm16(piece))
                written += len(piece)
        temporary.replace(out)
    return written
