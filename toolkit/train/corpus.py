"""Synthesises the corpus of the small text-to-semantic model; resumable, and no audio is kept.

Sentences (`sentences`) are said by a voice from the phones GPT-SoVITS's front end gives (`pronunciation`); what a
speech encoder hears is clustered into codes (`speech_codes`). Sentence ``n`` is said with seed ``n``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from toolkit.data.semantic_corpus import SemanticCorpus
from toolkit.models.gpt_sovits.semantic_batch import Pair
from toolkit.models.voice import Buckets, Voice
from toolkit.text.symbols import COUNT_V2, ids_of
from toolkit.train.pronunciation import spoken_form
from toolkit.train.sentences import corpus_texts
from toolkit.train.speech_codes import Codebook, fit_codebook, speech_features
from toolkit.whole_file import whole_file

SentenceProgress = Callable[[int, int], None]
"""``on_progress(said, of)``."""

_SHARD: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSettings:
    """What decides the numbers of a corpus.

    Attributes:
        training: sentences to train on.
        held_out: generated sentences held out.
        codebook_sentences: first sentences of the training set the codebook is fitted to.
        codes: entries of the codebook.
        noise_scale: deviation of the voice's prior sample; below its own .667 so that the codes tell more of the text.
        noise_w: deviation of the noise in its durations; likewise.
        seed: of sentences and codebook.
    """

    training: int = 1600
    held_out: int = 100
    codebook_sentences: int = 1000
    codes: int = 1024
    noise_scale: float = 0.333
    noise_w: float = 0.4
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Synthesised:
    """What the synthesis gives.

    Attributes:
        corpus: phones and codes.
        codebook: the clusters.
        seconds: length of the speech.
    """

    corpus: SemanticCorpus
    codebook: Codebook
    seconds: float


def synthesise_corpus(
    voice: Voice, settings: CorpusSettings, scratch: Path, on_progress: SentenceProgress | None = None
) -> Synthesised:
    """Says everything and makes codes of it.

    Args:
        voice: an English espeak voice.
        settings: how much, and how.
        scratch: directory of what was heard so far; a later run with the same settings goes on from there.
        on_progress: told after every sentence.

    Raises:
        ExtraMissing: a package of the front end or the speech encoder is not installed.
        DataError: too little speech for the codebook.
    """
    texts = corpus_texts(settings.training, settings.held_out, settings.seed)
    said = (*texts.training, *texts.held_out, *texts.evaluation)
    forms = [spoken_form(text) for text in said]
    shards = scratch / _identity(voice, settings, forms)
    shards.mkdir(parents=True, exist_ok=True)
    heard: list[np.ndarray] = []
    for first in range(0, len(forms), _SHARD):
        path = shards / f"heard-{first:05d}.npz"
        if not path.exists():
            here = [ipa for _, ipa in forms[first : first + _SHARD]]
            _write_shard(path, _listen(voice, settings, here, first, len(forms), on_progress))
        with np.load(path) as stored:
            heard += np.split(stored["frames"], np.cumsum(stored["lengths"])[:-1])
        if on_progress is not None:
            on_progress(len(heard), len(forms))
    fitted = np.concatenate(heard[: min(settings.codebook_sentences, settings.training)])
    codebook = fit_codebook(fitted, settings.codes, settings.seed)
    pairs = [
        Pair(phones=np.array(ids_of(phones, COUNT_V2), np.int32), codes=codebook.codes(frames).astype(np.int32))
        for (phones, _), frames in zip(forms, heard, strict=True)
    ]
    middle, end = settings.training, settings.training + settings.held_out
    corpus = SemanticCorpus(
        training=tuple(pairs[:middle]), held_out=tuple(pairs[middle:end]), evaluation=tuple(pairs[end:])
    )
    return Synthesised(corpus=corpus, codebook=codebook, seconds=sum(len(frames) for frames in heard) / 25)


def say(voice: Voice, ipa: str, seed: int, *, noise_scale: float, noise_w: float) -> np.ndarray:
    """A sentence's waveform ``[samples]`` from its IPA."""
    ids = voice.phoneme_ids(ipa)
    encoder = voice.torch_runners(Buckets(phonemes=(len(ids),), frames=()))["encoder"]
    prior = voice.prior(encoder, ids, seed, noise_w=noise_w)
    rest = voice.torch_runners(Buckets(phonemes=(), frames=(int(prior.durations.sum()),)))
    latent = voice.run_flow(rest["flow"], voice.prior_sample(prior, seed, noise_scale=noise_scale))
    return voice.run_decoder(rest["decoder"], latent)


def _listen(
    voice: Voice, settings: CorpusSettings, here: Sequence[str], first: int, total: int,
    on_progress: SentenceProgress | None,
) -> Iterator[np.ndarray]:  # fmt: skip
    for place, ipa in enumerate(here, first):
        wave = say(voice, ipa, place, noise_scale=settings.noise_scale, noise_w=settings.noise_w)
        yield speech_features(wave, voice.sample_rate_hz)
        if on_progress is not None:
            on_progress(place + 1, total)


def _write_shard(path: Path, heard: Iterator[np.ndarray]) -> None:
    found = list(heard)
    with whole_file(path) as scratch:
        np.savez(scratch, frames=np.concatenate(found), lengths=np.array([len(frames) for frames in found]))


def _identity(voice: Voice, settings: CorpusSettings, forms: Sequence[tuple[list[str], str]]) -> str:
    """Digest of everything that decides what is heard."""
    heard = {name: value for name, value in asdict(settings).items() if name not in ("codes", "codebook_sentences")}
    content = json.dumps([heard, dict(voice.sources), voice.label, [ipa for _, ipa in forms]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
