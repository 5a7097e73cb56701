"""Real inputs of a part from the manifest's sentences, whole for calibration and in windows for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from converters.errors import InputError
from toolkit.data.manifest import Sentence
from toolkit.models.vits.probe import probe_inputs
from toolkit.models.voice import Voice

Batch = dict[str, np.ndarray]


def part_inputs(
    voice: Voice, part: str, bucket: int, sentences: Sequence[Sentence], *, seed: int = 0, count: int | None = None
) -> list[Batch]:
    """Inputs of a part, one per sentence, padded to its bucket with a mask.

    Args:
        voice: the voice.
        part: ``encoder``, ``flow`` or ``decoder``.
        bucket: static length.
        sentences: what is said; their phonemes are looked up in the voice's own table.
        seed: of the noise; sentence ``i`` uses ``seed + i``.
        count: at most so many; all when ``None``.

    Raises:
        InputError: no sentence fits the bucket.
    """
    ids = [voice.phoneme_ids(sentence.phonemes) for sentence in sentences]
    return probe_inputs(voice, part, bucket, count=count or len(ids), sentences=ids, seed=seed)


def windows(
    inputs: Sequence[Mapping[str, np.ndarray]], frames: int, *, count: int, noise: np.random.Generator
) -> list[Batch]:
    """Random windows of a per-frame part's inputs, without padding where the utterances are long enough.

    Args:
        inputs: as ``part_inputs`` gives them for ``flow`` or ``decoder``.
        frames: length of a window; also the bucket the windows fit.
        count: how many.
        noise: chooses utterance and position.

    Returns:
        Inputs with the same names, ``frames`` long; the mask is cut like the signal.

    Raises:
        InputError: an input is shorter than a window.
    """
    chosen: list[Batch] = []
    for _ in range(count):
        source = inputs[int(noise.integers(len(inputs)))]
        bucket = source["mask"].shape[-1]
        if bucket < frames:
            raise InputError(
                f"windows of {frames} frames from inputs of {bucket}",
                code="input/bucket-too-short",
                where="training windows",
                hint="make the inputs with a bucket at least as long as a window",
            )
        spoken = int(source["mask"].sum())
        start = int(noise.integers(max(spoken - frames, 0) + 1))
        chosen.append({name: np.ascontiguousarray(a[..., start : start + frames]) for name, a in source.items()})
    return chosen
