"""What runs between the converted graphs: durations, length regulation, noise, and chunks of long utterances.

The same code runs whatever the graphs are (torch, ONNX, Keras, TFLite): it sees ``Runner``s with static lengths and
chooses the smallest that fits. Utterances longer than the largest bucket are cut into chunks that overlap by the
reach of the part, which makes them exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converters.errors import InputError
from converters.spec import Runner
from toolkit.models.vits.durations import DurationPredictor

Buckets = Mapping[int, Runner]
"""Length of a static graph to its runner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What the encoder and the durations give for a sentence.

    Attributes:
        m_p: mean per frame ``[1, inter, frames]``.
        logs_p: log deviation per frame ``[1, inter, frames]``.
        durations: frames of each phoneme ``[phonemes]`` int64.
    """

    m_p: np.ndarray
    logs_p: np.ndarray
    durations: np.ndarray

    def sample(self, noise: np.random.Generator, noise_scale: float) -> np.ndarray:
        """Draws ``z_p`` ``[1, inter, frames]``."""
        normal = noise.standard_normal(self.m_p.shape, dtype=np.float32)
        return (self.m_p + normal * np.exp(self.logs_p) * np.float32(noise_scale)).astype(np.float32)


def mask_of(length: int, bucket: int) -> np.ndarray:
    """``[1, 1, bucket]`` float32: ``length`` ones, then zeros."""
    mask = np.zeros((1, 1, bucket), dtype=np.float32)
    mask[..., :length] = 1.0
    return mask


def pad_time(array: np.ndarray, bucket: int) -> np.ndarray:
    """Appends zeros along the last axis up to ``bucket``."""
    widths = [(0, 0)] * (array.ndim - 1) + [(0, bucket - array.shape[-1])]
    return np.pad(array, widths)


def smallest_bucket(length: int, buckets: Buckets) -> int | None:
    """The smallest bucket that holds ``length``, or ``None``."""
    return min((bucket for bucket in buckets if bucket >= length), default=None)


def encode(
    runners: Buckets,
    durations: DurationPredictor,
    ids: np.ndarray,
    noise: np.random.Generator,
    *,
    length_scale: float,
    noise_w: float,
) -> Prior:
    """Runs the encoder and the duration predictor, and repeats each phoneme for its frames.

    Args:
        runners: encoder per bucket of phonemes.
        durations: the duration predictor.
        ids: phoneme ids ``[phonemes]``.
        noise: source of the duration noise.
        length_scale: multiplies every duration; above 1 is slower speech.
        noise_w: deviation of the duration noise.

    Raises:
        InputError: more phonemes than the largest bucket; none at all.
    """
    phonemes = len(ids)
    bucket = smallest_bucket(phonemes, runners)
    if phonemes == 0 or bucket is None:
        raise InputError(
            f"a sentence of {phonemes} phoneme ids; between 1 and {max(runners, default=0)} fit",
            code="input/sentence-length",
            where="phoneme ids",
            hint="split the text into shorter sentences, or convert with a larger phoneme bucket",
        )
    mask = mask_of(phonemes, bucket)
    outputs = runners[bucket]({"ids": pad_time(ids.astype(np.int32)[None], bucket), "mask": mask})
    x, m_p, logs_p = (np.asarray(outputs[name])[..., :phonemes] for name in ("x", "m_p", "logs_p"))
    # Drawn for the true length, so that the bucket does not change the durations.
    normal = noise.standard_normal((1, 2, phonemes), dtype=np.float32) * np.float32(noise_w)
    log_durations = durations.log_durations(x, mask[..., :phonemes], normal)[0, 0]
    frames = np.ceil(np.exp(log_durations) * np.float32(length_scale)).astype(np.int64)
    return Prior(m_p=np.repeat(m_p, frames, axis=-1), logs_p=np.repeat(logs_p, frames, axis=-1), durations=frames)


def run_frames(
    runners: Buckets, inputs: tuple[str, str], signal: np.ndarray, *, reach: int, hop: int = 1
) -> np.ndarray:
    """Runs a per-frame part over an utterance of any length.

    Args:
        runners: the part per bucket of frames.
        inputs: name of the signal input and its only output.
        signal: ``[1, channels, frames]``.
        reach: frames to each side that an output depends on.
        hop: output samples per input frame.

    Returns:
        ``[1, channels_out, frames * hop]``.

    Raises:
        InputError: the utterance is longer than the largest bucket, and that bucket is too short to overlap.
    """
    frames = signal.shape[-1]
    source, target = inputs
    bucket = smallest_bucket(frames, runners)
    if bucket is not None:
        outputs = runners[bucket]({source: pad_time(signal, bucket), "mask": mask_of(frames, bucket)})
        return np.asarray(outputs[target])[..., : frames * hop]
    bucket = max(runners, default=0)
    if bucket <= 2 * reach:
        raise InputError(
            f"{frames} frames in chunks of {bucket}, of which {2 * reach} overlap",
            code="input/bucket-too-short",
            where=source,
            hint=f"convert with a frame bucket above {2 * reach}, or speak shorter sentences",
        )
    pieces: list[np.ndarray] = []
    done = 0
    while done < frames:
        start = max(0, done - reach)
        stop = min(frames, start + bucket)
        # Frames near the right edge of a chunk lack context, unless the utterance ends there.
        usable = stop if stop == frames else stop - reach
        chunk = signal[..., start:stop]
        outputs = runners[bucket]({source: pad_time(chunk, bucket), "mask": mask_of(stop - start, bucket)})
        pieces.append(np.asarray(outputs[target])[..., (done - start) * hop : (usable - start) * hop])
        done = usable
    return np.concatenate(pieces, axis=-1)
