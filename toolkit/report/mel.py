"""Spectrogram images for the page: small paletted PNGs as data URIs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np

_BANDS = 64
_MAX_COLUMNS = 320
_RANGE_DB = 60.0
_DIFFERENCE_DB = 15.0
_WINDOW_SECONDS = 0.032

SCALE_TEXT = (
    f"Mel spectrograms, 0 to half the sample rate, {_RANGE_DB:.0f} dB range. "
    f"Difference: dark is equal, light is {_DIFFERENCE_DB:.0f} dB or more."
)


def images(reference: Path, candidate: Path) -> tuple[tuple[str, str], ...]:
    """Reference, candidate and their difference: (caption, data URI) each."""
    left, right = _mel_db(reference), _mel_db(candidate)
    frames = min(left.shape[1], right.shape[1])
    left, right = left[:, :frames], right[:, :frames]
    top = max(float(left.max()), float(right.max()))
    pictures = [("float", (left - top) / _RANGE_DB + 1), ("shipped", (right - top) / _RANGE_DB + 1)]
    # Silence differs by many dB and by nothing one can hear: both are floored at the range first.
    floored = np.maximum(left, top - _RANGE_DB) - np.maximum(right, top - _RANGE_DB)
    pictures.append(("difference", np.abs(floored) / _DIFFERENCE_DB))
    return tuple((name, _png(values)) for name, values in pictures)


def _mel_db(path: Path) -> np.ndarray:
    import librosa
    import soundfile

    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    window = 2 ** round(np.log2(_WINDOW_SECONDS * rate))
    hop = max(window // 4, int(np.ceil(len(wave) / _MAX_COLUMNS)))
    power = librosa.feature.melspectrogram(y=wave.mean(axis=1), sr=rate, n_fft=window, hop_length=hop, n_mels=_BANDS)
    return 10 * np.log10(np.maximum(power, 1e-10))


def _png(values: np.ndarray) -> str:
    import matplotlib
    from PIL import Image

    levels = np.round(np.clip(values, 0, 1) * 63).astype(np.uint8)[::-1]
    colours = (matplotlib.colormaps["magma"](np.linspace(0, 1, 64))[:, :3] * 255).round().astype(np.uint8)
    image = Image.fromarray(levels, mode="P")
    image.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, bits=6)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
