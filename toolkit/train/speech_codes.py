"""25 codes a second from a packaged speech encoder: k-means over what it hears.

The encoder is resemblyzer's (Apache-2.0), trained to tell speakers apart; its weights are in the wheel. Its last layer
knows the speaker only, but its second still follows the sounds. Measured on 200 sentences of the default voice, the
share of the spoken phone's entropy that 256 codes tell: second layer .605, first .567, third .324; DistillMOS' CNN
.583, its transformer .56 and less; log-mel frames .515. No package carries HuBERT, which GPT-SoVITS uses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from toolkit.errors import DataError
from toolkit.quality.extras import load_judge
from toolkit.quality.resample import to_judge_rate
from toolkit.whole_file import whole_file

CODES_PER_SECOND: Final = 25
FEATURES: Final = 256
_LAYERS: Final = 2
_FRAMES_PER_CODE: Final = 4  # of 10 ms
_LOUDNESS_DBFS: Final = -30  # the encoder was trained at this loudness
_ITERATIONS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Codebook:
    """Centres of the clusters.

    Attributes:
        mean: ``[features]`` taken off first.
        deviation: ``[features]`` divided by then.
        centres: ``[codes, features] float32``.
    """

    mean: np.ndarray = field(repr=False)
    deviation: np.ndarray = field(repr=False)
    centres: np.ndarray = field(repr=False)

    def codes(self, features: np.ndarray) -> np.ndarray:
        """The nearest centre of every frame: ``[n, features]`` to ``[n] int16``."""
        scaled = (features.astype(np.float32) - self.mean) / self.deviation
        distances = np.square(self.centres).sum(axis=1) - 2.0 * scaled @ self.centres.T
        return distances.argmin(axis=1).astype(np.int16)

    def save(self, path: Path) -> None:
        """Writes it to an ``.npz`` file, whole or not at all."""
        with whole_file(path) as scratch:
            np.savez(scratch, mean=self.mean, deviation=self.deviation, centres=self.centres)


def fit_codebook(frames: np.ndarray, codes: int, seed: int) -> Codebook:
    """Lloyd's k-means over standardised frames.

    Args:
        frames: ``[n, features]``.
        codes: clusters.
        seed: of the first centres.

    Raises:
        DataError: fewer frames than codes.
    """
    from sklearn.cluster import KMeans

    if len(frames) < codes:
        raise DataError(
            f"{len(frames)} frames of speech for {codes} codes", code="data/too-little", where="codebook",
            hint="synthesise more sentences, or ask for fewer codes",
        )  # fmt: skip
    frames = frames.astype(np.float32)
    mean, deviation = frames.mean(axis=0), frames.std(axis=0) + np.float32(1e-5)
    found = KMeans(codes, init="random", n_init=1, max_iter=_ITERATIONS, random_state=seed).fit(
        (frames - mean) / deviation
    )
    return Codebook(mean=mean, deviation=deviation, centres=found.cluster_centers_.astype(np.float32))


@lru_cache(maxsize=1)
def _layers() -> tuple[Any, nn.LSTM]:
    """The package's mel front end, and the first layers of its network."""
    package = load_judge("resemblyzer.audio", "codes of speech")
    whole = load_judge("resemblyzer", "codes of speech").VoiceEncoder("cpu", verbose=False).lstm
    lower = nn.LSTM(whole.input_size, whole.hidden_size, _LAYERS, batch_first=True)
    lower.load_state_dict({name: value for name, value in whole.state_dict().items() if name in lower.state_dict()})
    return package, lower.eval().requires_grad_(False)


@torch.inference_mode()
def speech_features(wave: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """What the encoder hears, 25 times a second.

    Args:
        wave: ``[samples]``.
        sample_rate_hz: its sample rate.

    Returns:
        ``[n, 256] float16``, n whole steps of 40 ms.

    Raises:
        ExtraMissing: resemblyzer is not installed.
    """
    package, layers = _layers()
    heard = to_judge_rate(wave, sample_rate_hz)
    heard = package.normalize_volume(heard, _LOUDNESS_DBFS) if heard.any() else heard
    mel = torch.from_numpy(package.wav_to_mel_spectrogram(heard))
    hidden = layers(mel[None])[0][0].numpy()
    count = len(hidden) // _FRAMES_PER_CODE
    return hidden[: count * _FRAMES_PER_CODE].reshape(count, _FRAMES_PER_CODE, FEATURES).mean(axis=1).astype(np.float16)
