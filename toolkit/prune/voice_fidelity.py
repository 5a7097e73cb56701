"""How near a pruned voice is to the one it was cut out of, in numbers and by ear."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import nn

from toolkit.distil.waveform_losses import mel_distance
from toolkit.models.voice import Buckets, Voice
from toolkit.recipe.shrinking import PruneVoice

_SAME_DB: Final = 200.0
"""Said of two that are the same."""
Latent = tuple[np.ndarray, np.ndarray]
"""A prior sample and what a flow makes of it, ``[1, channels, frames]`` each."""

Hear = Callable[[Voice], tuple[float | None, float | None]]
"""Drop in DistillMOS and resemblyzer's cosine of a voice beside the one given; ``None`` where it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceFidelity:
    """A voice beside the one it was cut out of, on held-out sentences.

    Attributes:
        prior_snr_db: the prior's mean over its distance to that of the voice given, each phoneme as often as it has
            frames; 200 where they are the same.
        frames_error: frames a phoneme's duration is off the voice given with the same noise, mean.
        latent_snr_db: what the flow makes of the prior samples of the voice given, over its distance to what that
            voice's makes of them; 200 where they are the same.
        mel_distance: mean absolute difference of natural-log mel amplitudes between what the decoder makes of the
            latents of the voice given and what that voice's makes of them; 0 where they are the same.
        mos_drop: DistillMOS below the voice given in its time, mean; ``None`` where it was not heard.
        speaker_cosine: resemblyzer's, likewise.
    """

    prior_snr_db: float
    frames_error: float
    latent_snr_db: float = _SAME_DB
    mel_distance: float = 0.0
    mos_drop: float | None = None
    speaker_cosine: float | None = None


def within(found: VoiceFidelity, settings: PruneVoice) -> bool:
    """Whether all gates hold; what is no number holds none."""
    drop, cosine = found.mos_drop, found.speaker_cosine
    return (
        math.isfinite(found.prior_snr_db)
        and found.prior_snr_db >= settings.prior_snr_db_min
        and found.frames_error <= settings.frames_error_max
        and math.isfinite(found.latent_snr_db)
        and found.latent_snr_db >= settings.latent_snr_db_min
        and found.mel_distance <= settings.mel_distance_max
        and (drop is None or drop <= settings.mos_drop_max)
        and (cosine is None or 1.0 - cosine <= settings.speaker_cosine_loss_max)
    )


def fidelity(
    candidate: Voice,
    given: Voice,
    sentences: Sequence[np.ndarray],
    hear: Hear | None = None,
    latents: Sequence[Latent] | None = None,
) -> VoiceFidelity:
    """Compares what the parts say of sentences, the durations that follow, and the sound where it is asked.

    Args:
        candidate: the smaller voice; the voice given itself is not heard.
        given: what it was cut out of.
        sentences: phoneme ids ``[phonemes]`` each, held out.
        hear: says how the candidate sounds beside the voice given.
        latents: `latents_of` the voice given, where they are known.
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
    flows, decoders = ([voice.modules[part] for voice in (candidate, given)] for part in ("flow", "decoder"))
    if latents is None and (flows[0] is not flows[1] or decoders[0] is not decoders[1]):
        latents = latents_of(given, sentences)
    return VoiceFidelity(
        prior_snr_db=_level(signal, error),
        frames_error=float(np.concatenate(off).mean()),
        latent_snr_db=_SAME_DB if flows[0] is flows[1] else _latent_snr_db(flows[0], latents or ()),
        mel_distance=0.0 if decoders[0] is decoders[1] else _mel_distance(candidate, given, latents or ()),
        mos_drop=heard[0],
        speaker_cosine=heard[1],
    )


@torch.inference_mode()
def latents_of(voice: Voice, sentences: Sequence[np.ndarray]) -> list[Latent]:
    """Prior samples of sentences and what the voice's flow makes of them; sentence ``n`` is said with seed ``n``."""
    found = []
    for number, ids in enumerate(sentences):
        encoder = voice.torch_runners(Buckets(phonemes=(len(ids),), frames=()))["encoder"]
        z_p = voice.prior_sample(voice.prior(encoder, ids, number), number).astype(np.float32)
        found.append((z_p, _through(voice.modules["flow"], z_p)))
    return found


@torch.inference_mode()
def _latent_snr_db(flow: nn.Module, latents: Sequence[Latent]) -> float:
    signal = error = 0.0
    for z_p, wanted in latents:
        signal += float(np.square(wanted, dtype=np.float64).sum())
        error += float(np.square(_through(flow, z_p) - wanted, dtype=np.float64).sum())
    return _level(signal, error)


@torch.inference_mode()
def _mel_distance(candidate: Voice, given: Voice, latents: Sequence[Latent]) -> float:
    """Weighed by the sentences' frames."""
    total = frames = 0.0
    for _, z in latents:
        said = [_through(voice.modules["decoder"], z)[0] for voice in (given, candidate)]
        distance = mel_distance(*(torch.from_numpy(each) for each in said), given.sample_rate_hz)
        total, frames = total + float(distance) * z.shape[-1], frames + z.shape[-1]
    return total / frames


def _through(part: nn.Module, signal: np.ndarray) -> np.ndarray:
    return part(torch.from_numpy(signal), torch.ones(1, 1, signal.shape[-1])).numpy()


def _level(signal: float, error: float) -> float:
    return _SAME_DB if error == 0.0 else min(_SAME_DB, 10.0 * float(np.log10(signal / error)))
