"""How near a pruned voice is to the one it was cut out of, in numbers and by ear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from toolkit.models.voice import Buckets, Voice

_SAME_DB: Final = 200.0
"""Said of two that are the same."""

Hear = Callable[[Voice], tuple[float | None, float | None]]
"""Drop in DistillMOS and resemblyzer's cosine of a voice beside the one given; ``None`` where it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceFidelity:
    """A voice beside the one it was cut out of, on held-out sentences.

    Attributes:
        prior_snr_db: the prior's mean over its distance to that of the voice given, each phoneme as often as it has
            frames; 200 where they are the same.
        frames_error: frames a phoneme's duration is off the voice given with the same noise, mean.
        mos_drop: DistillMOS below the voice given in its time, mean; ``None`` where it was not heard.
        speaker_cosine: resemblyzer's, likewise.
    """

    prior_snr_db: float
    frames_error: float
    mos_drop: float | None = None
    speaker_cosine: float | None = None


def fidelity(
    candidate: Voice, given: Voice, sentences: Sequence[np.ndarray], hear: Hear | None = None
) -> VoiceFidelity:
    """Compares what the encoders say of sentences, the durations that follow, and the sound where it is asked.

    Args:
        candidate: the smaller voice; the voice given itself is not heard.
        given: what it was cut out of.
        sentences: phoneme ids ``[phonemes]`` each, held out.
        hear: says how the candidate sounds beside the voice given.
    """
    signal = error = 0.0
    off: list[np.ndarray] = []
    for number, ids in enumerate(sentences):
        buckets = Buckets(phonemes=(len(ids),), frames=())
        mask = np.ones((1, 1, len(ids)), dtype=np.float32)
        asked = {"ids": ids[None].astype(np.int32), "mask": mask}
        noise = np.random.default_rng([number, 0xF1]).standard_normal((1, 2, len(ids)), dtype=np.float32)
        said, frames = [], []
        for voice in (given, candidate):
            outputs = voice.torch_runners(buckets)["encoder"][len(ids)](asked)
            timed = voice.durations.log_durations(outputs["x"], mask, noise * voice.defaults.noise_w)
            said.append(outputs["m_p"].astype(np.float64))
            frames.append(np.ceil(np.exp(timed[0, 0].astype(np.float64))))
        signal += float((frames[0] * np.square(said[0])).sum())
        error += float((frames[0] * np.square(said[1] - said[0])).sum())
        off.append(np.abs(frames[1] - frames[0]))
    heard: tuple[float | None, float | None] = (None, None)
    if hear is not None:
        heard = (0.0, 1.0) if candidate is given else hear(candidate)
    return VoiceFidelity(
        prior_snr_db=_SAME_DB if error == 0.0 else min(_SAME_DB, 10.0 * float(np.log10(signal / error))),
        frames_error=float(np.concatenate(off).mean()),
        mos_drop=heard[0],
        speaker_cosine=heard[1],
    )
