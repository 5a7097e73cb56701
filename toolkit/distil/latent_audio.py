"""What a voice's decoder makes of its own latents, kept on disk by content: another student of it need not ask again.

Sentences are said by the voice's encoder, durations and flow; the decoder is asked about the latent *after* it was
rounded to half precision, so a pair is exact although both sides are stored in 16 bits (the audio's steps are 66 dB
below whatever it is at the time). Each file carries its digest, and one that is damaged is asked for again.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from toolkit.models.voice import PARTS, Buckets, Voice
from toolkit.whole_file import whole_file

_SHARD: Final = 25
_VERSION: Final = b"latent and audio 1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Utterance:
    """One sentence.

    Attributes:
        z: latent ``[channels, frames]`` float16.
        audio: what the teacher's decoder makes of it ``[frames * hop]`` float16.
    """

    z: np.ndarray = field(repr=False)
    audio: np.ndarray = field(repr=False)

    @property
    def frames(self) -> int:
        """Length."""
        return self.z.shape[-1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaughtSpeech:
    """A teacher's sentences.

    Attributes:
        utterances: one for every sentence, in order.
        digest: of the teacher's weights and the sentences.
        asked: sentences the teacher had to be asked about; the others were known.
    """

    utterances: tuple[Utterance, ...] = field(repr=False)
    digest: str
    asked: int


def taught_speech(
    voice: Voice,
    sentences: Sequence[np.ndarray],
    cache: Path | None,
    on_progress: Callable[[int, int], None] | None = None,
) -> TaughtSpeech:
    """Latents and audio of sentences; sentence ``n`` is said with seed ``n`` and the voice's own scales.

    Args:
        voice: the teacher.
        sentences: phoneme ids ``[phonemes]`` each.
        cache: directory of everything any teacher said; ``None`` keeps it in memory only.
        on_progress: told how many sentences are known, of how many.
    """
    digest = _digest(voice, sentences)
    folder = None if cache is None else cache / digest[:24]
    found: list[Utterance] = []
    asked = 0
    for first in range(0, len(sentences), _SHARD):
        here = sentences[first : first + _SHARD]
        path = None if folder is None else folder / f"speech-{first // _SHARD:05d}.npz"
        shard = _read(path, voice, len(here))
        if shard is None:
            shard = [_say(voice, ids, seed) for seed, ids in enumerate(here, first)]
            asked += len(here)
            if path is not None:
                _write(path, shard)
        found += shard
        if on_progress is not None:
            on_progress(len(found), len(sentences))
    return TaughtSpeech(utterances=tuple(found), digest=digest, asked=asked)


def _say(voice: Voice, ids: np.ndarray, seed: int) -> Utterance:
    encoder = voice.torch_runners(Buckets(phonemes=(len(ids),), frames=()))["encoder"]
    prior = voice.prior(encoder, ids, seed)
    rest = voice.torch_runners(Buckets(phonemes=(), frames=(int(prior.durations.sum()),)))
    z = voice.run_flow(rest["flow"], voice.prior_sample(prior, seed)).astype(np.float16)
    audio = voice.run_decoder(rest["decoder"], z.astype(np.float32))
    return Utterance(z=z[0], audio=audio.astype(np.float16))


def _digest(voice: Voice, sentences: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256(_VERSION + f"{voice.config}{voice.defaults}".encode() + voice.durations.model)
    for part in PARTS:
        for name, value in voice.modules[part].state_dict().items():
            digest.update(name.encode() + np.ascontiguousarray(value.numpy()).tobytes())
    for ids in sentences:
        digest.update(np.ascontiguousarray(ids, dtype=np.int32).tobytes() + b";")
    return digest.hexdigest()


def _write(path: Path, shard: Sequence[Utterance]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    z = np.concatenate([each.z for each in shard], axis=1)
    audio = np.concatenate([each.audio for each in shard])
    frames = np.array([each.frames for each in shard], dtype=np.int64)
    with whole_file(path) as scratch:
        np.savez(scratch, z=z, audio=audio, frames=frames, sha256=_content(z, audio, frames))


def _read(path: Path | None, voice: Voice, count: int) -> list[Utterance] | None:
    """The utterances of a file that is whole."""
    if path is None or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            z, audio, frames, told = (stored[name] for name in ("z", "audio", "frames", "sha256"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if str(told) != _content(z, audio, frames) or len(frames) != count:
        return None
    ends = np.cumsum(frames)[:-1]
    pairs = zip(np.split(z, ends, axis=1), np.split(audio, ends * voice.hop), strict=True)
    return [Utterance(z=here, audio=sound) for here, sound in pairs]


def _content(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
