"""Audio files, and sample rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolkit.errors import DataError
from toolkit.whole_file import whole_file


def read_wave(path: Path | str) -> tuple[np.ndarray, int]:
    """Reads an audio file.

    Args:
        path: WAV, FLAC, OGG …

    Returns:
        Mono float32 ``[samples]`` (channels averaged) and its sample rate in Hz.

    Raises:
        DataError: the file is missing or not audio.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise DataError("there is no such audio file", code="data/missing", where=str(path), hint="check the path")
    try:
        samples, sample_rate_hz = soundfile.read(str(path), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DataError(
            f"not an audio file that can be read ({error})",
            code="data/damaged",
            where=str(path),
            hint="convert it to WAV or FLAC",
        ) from error
    return samples.mean(axis=1), int(sample_rate_hz)


def write_wave(path: Path | str, wave: np.ndarray, sample_rate_hz: int) -> None:
    """Writes 16-bit audio; the format follows the extension (``.wav`` or ``.flac``). Samples past +-1 are clipped.

    Args:
        path: the file; replaced in one step.
        wave: ``[samples]``.
        sample_rate_hz: its sample rate.
    """
    import soundfile

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pcm = np.round(np.clip(wave, -1.0, 1.0).astype(np.float64) * 32767.0).astype(np.int16)
    with whole_file(path) as temporary:
        soundfile.write(str(temporary), pcm, sample_rate_hz, subtype="PCM_16")


def resample(wave: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """``[samples]`` float32 at another rate."""
    import soxr

    if from_hz == to_hz:
        return wave.astype(np.float32)
    return soxr.resample(wave.astype(np.float32), from_hz, to_hz, quality="HQ").astype(np.float32)
