"""What a voice's decoder makes of its own latents: its features after the stages a student keeps, and the sound.

A light decoder keeps the layers it takes over as they are, so what they give is computed once, not in every step.
Both sides are kept in half precision; the steps of the audio are 66 dB below whatever it is at the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from toolkit.distil.voice_teacher import Asked, Progress, sharded
from toolkit.models.vits.light_generator import Trunk
from toolkit.models.voice import Buckets, Voice


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaughtSound:
    """One sentence.

    Attributes:
        steps: features after the stages taken over, or the latent, ``[channels, frames * rate]`` float16.
        audio: ``[frames * hop]`` float16.
        frames: length.
    """

    steps: np.ndarray = field(repr=False)
    audio: np.ndarray = field(repr=False)
    frames: int


def taught_sound(
    voice: Voice,
    front: Trunk,
    sentences: Sequence[np.ndarray],
    cache: Path | None,
    on_progress: Progress | None = None,
    *,
    taken: int = 1,
) -> tuple[list[TaughtSound], Asked]:
    """Features and audio; sentence ``n`` is said with seed ``n`` and the voice's own scales.

    Args:
        voice: the teacher.
        front: a decoder whose first stages are made of the teacher's layers.
        sentences: phoneme ids ``[phonemes]`` each.
        cache: directory of everything any teacher said; ``None`` keeps nothing.
        on_progress: told how many sentences are known.
        taken: how many stages those are.
    """
    stages = front.trunk.stages[:taken]

    def say(ids: np.ndarray, seed: int) -> TaughtSound:
        z, sound = _said(voice, ids, seed)
        with torch.inference_mode():
            steps = front.features(torch.from_numpy(z), torch.ones(1, 1, sound.frames), 0, taken)
        return replace(sound, steps=steps[0].numpy().astype(np.float16))

    kind = f"sound {' '.join(str(stage) for stage in stages)}"
    return _sounds(voice, kind, math.prod(stage.rate for stage in stages), say, sentences, cache, on_progress)


def taught_waves(
    voice: Voice, sentences: Sequence[np.ndarray], cache: Path | None, on_progress: Progress | None = None
) -> tuple[list[TaughtSound], Asked]:
    """Latents and audio; arguments as for `taught_sound`.

    Returns:
        For each sentence its latent ``[channels, frames]`` as ``steps``, and what the decoder makes of it.
    """
    return _sounds(voice, "waves", 1, lambda ids, seed: _said(voice, ids, seed)[1], sentences, cache, on_progress)


def _sounds(
    voice: Voice,
    kind: str,
    rate: int,
    say: Callable[[np.ndarray, int], TaughtSound],
    sentences: Sequence[np.ndarray],
    cache: Path | None,
    on_progress: Progress | None,
) -> tuple[list[TaughtSound], Asked]:
    def ask(first: int, here: Sequence[np.ndarray]) -> Mapping[str, np.ndarray]:
        said = [say(ids, number) for number, ids in enumerate(here, first)]
        return {
            "steps": np.concatenate([each.steps for each in said], axis=-1),
            "audio": np.concatenate([each.audio for each in said]),
            "frames": np.array([each.frames for each in said], dtype=np.int64),
        }

    parts = ("encoder", "durations", "flow", "decoder")
    stored, known = sharded(kind, voice, parts, sentences, cache, ask, on_progress)
    found, hop = [], voice.hop
    for _, arrays in stored:
        ends = np.cumsum(arrays["frames"])[:-1]
        steps, audio = np.split(arrays["steps"], ends * rate, axis=-1), np.split(arrays["audio"], ends * hop)
        found += [
            TaughtSound(steps=step, audio=sound, frames=int(frames))
            for step, sound, frames in zip(steps, audio, arrays["frames"], strict=True)
        ]
    return found, known


def _said(voice: Voice, ids: np.ndarray, seed: int) -> tuple[np.ndarray, TaughtSound]:
    """The latent ``[1, channels, frames]``, and it in half precision with its sound."""
    encoder = voice.torch_runners(Buckets(phonemes=(len(ids),), frames=()))["encoder"]
    prior = voice.prior(encoder, ids, seed)
    frames = int(prior.durations.sum())
    rest = voice.torch_runners(Buckets(phonemes=(), frames=(frames,)))
    z = voice.run_flow(rest["flow"], voice.prior_sample(prior, seed))
    audio = voice.run_decoder(rest["decoder"], z)
    return z, TaughtSound(steps=z[0].astype(np.float16), audio=audio.astype(np.float16), frames=frames)
