"""How well a student's durations are those of its teacher, on sentences it was not taught with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.models.voice import Buckets, Voice

_DRAWS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationErrors:
    """Frames of a student against the mean of a teacher that draws them.

    Attributes:
        sentences: how many.
        frames_per_phoneme: mean absolute error per phoneme id, blanks included.
        drawn_frames_per_phoneme: the same of one draw of the teacher against its own mean: what chance alone does.
        length_ratio: length of all sentences over the teacher's.
        length_error_ratio: mean absolute error of a sentence's length, over that length.
        drawn_length_error_ratio: the same of one draw of the teacher.
    """

    sentences: int
    frames_per_phoneme: float
    drawn_frames_per_phoneme: float
    length_ratio: float
    length_error_ratio: float
    drawn_length_error_ratio: float


def duration_errors(student: Voice, teacher: Voice, sentences: Sequence[np.ndarray]) -> DurationErrors:
    """Times sentences with both.

    Args:
        student: its durations are deterministic.
        teacher: timed ``16`` times with its own ``noise_w``.
        sentences: phoneme ids ``[phonemes]`` each, held out.
    """
    errors: list[float] = []
    drawn_errors: list[float] = []
    lengths: list[tuple[float, float, float]] = []
    for ids in sentences:
        buckets = Buckets(phonemes=(len(ids),), frames=())
        encoder = teacher.torch_runners(buckets)["encoder"]
        draws = np.stack([teacher.prior(encoder, ids, seed).durations for seed in range(_DRAWS)])
        mean = draws[1:].mean(0)  # the first is what chance does, and is not part of what it is compared with
        found = student.prior(student.torch_runners(buckets)["encoder"], ids).durations
        errors.append(float(np.abs(found - mean).mean()))
        drawn_errors.append(float(np.abs(draws[0] - mean).mean()))
        lengths.append((float(found.sum()), float(draws[0].sum()), float(mean.sum())))
    told, drawn, wanted = (np.array(each) for each in zip(*lengths, strict=True))
    return DurationErrors(
        sentences=len(sentences),
        frames_per_phoneme=float(np.mean(errors)),
        drawn_frames_per_phoneme=float(np.mean(drawn_errors)),
        length_ratio=float(told.sum() / wanted.sum()),
        length_error_ratio=float(np.mean(np.abs(told - wanted) / wanted)),
        drawn_length_error_ratio=float(np.mean(np.abs(drawn - wanted) / wanted)),
    )
