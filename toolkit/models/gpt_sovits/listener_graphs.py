"""The graphs that listen and read for a voice: HuBERT, BERT and the speaker encoder, with inputs to prove them on.

Their weights move into a mapped file: a conversion needs them at its beginning, and each is converted for itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.resting_weights import move_to_file
from toolkit.engine.buckets import bias, filled, presence
from toolkit.engine.fbank import log_mel_energies
from toolkit.engine.listening import speaker_feeds
from toolkit.models.gpt_sovits.bert import BERT, Bert, bert_spec
from toolkit.models.gpt_sovits.eres2net import BINS, SPEAKER, SpeakerEncoder, speaker_spec
from toolkit.models.gpt_sovits.hubert import SSL, Hubert, ssl_spec
from toolkit.models.gpt_sovits.phone_graph import PhoneGraph

_SHARES = (0.55, 1.0)  # how full the probes make a graph
_RATE_HZ = 16000


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerBuckets:
    """Static lengths to convert for.

    Attributes:
        ssl: samples at 16 kHz: a recording and the zeros behind it.
        speaker: frames of 10 ms.
        bert: characters of a sentence and the two marks around them.
    """

    ssl: tuple[int, ...] = (169600,)
    speaker: tuple[int, ...] = (998,)
    bert: tuple[int, ...] = (64, 256)


def ssl_graphs(model: Hubert, samples: tuple[int, ...], *, seed: int = 0) -> tuple[PhoneGraph, ...]:
    """HuBERT for each length."""
    move_to_file(model)
    found = []
    for room in samples:
        spec, lengths = ssl_spec(model.config, room), model.config.lengths(room)
        probes = []
        for number, share in enumerate(_SHARES):
            sound = _murmur(int(room * share), seed + number)[None]
            there = model.config.lengths(sound.shape[1])
            masks = [presence(there[at], lengths[at]) for at in (0, -1)]
            probes.append({"sound": filled(sound, room), "first_mask": masks[0], "mask": masks[1]})
        found.append(PhoneGraph(SSL, room, model, spec, tuple(probes)))
    return tuple(found)


def speaker_graphs(model: SpeakerEncoder, frames: tuple[int, ...], *, seed: int = 0) -> tuple[PhoneGraph, ...]:
    """The speaker encoder for each length."""
    move_to_file(model)
    found = []
    embedding = model.fuse34.local_att[4].num_features * BINS // 8
    for room in frames:
        probes = []
        for number, share in enumerate(_SHARES):
            sound = _murmur(400 + 160 * (max(1, int(room * share)) - 1), seed + number)
            probes.append(speaker_feeds(log_mel_energies(sound)[None], room))
        found.append(PhoneGraph(SPEAKER, room, model, speaker_spec(room, embedding), tuple(probes)))
    return tuple(found)


def bert_graphs(model: Bert, tokens: tuple[int, ...], *, seed: int = 0) -> tuple[PhoneGraph, ...]:
    """BERT for each length that its positions allow."""
    move_to_file(model)
    found = []
    for room in sorted({min(room, model.config.positions) for room in tokens}):
        probes = []
        for number, share in enumerate(_SHARES):
            said = max(3, int(room * share))
            ids = np.random.default_rng([seed, number]).integers(0, model.config.tokens, (1, said)).astype(np.int32)
            probes.append({"tokens": filled(ids, room), "attention_bias": bias(said, room)})
        found.append(PhoneGraph(BERT, room, model, bert_spec(model.config, room), tuple(probes)))
    return tuple(found)


def _murmur(samples: int, seed: int) -> np.ndarray:
    """Harmonics of a moving pitch in syllables, with breath: nothing said, but as loud and as coloured as speech."""
    generator, time = np.random.default_rng(seed), np.arange(samples) / _RATE_HZ
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.7 * time + seed)) / _RATE_HZ
    voiced = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * time), 0.05, 1.0)
    return (0.15 * syllables * (voiced + 0.2 * generator.standard_normal(samples))).astype(np.float32)
