"""Synthesises the corpus of the small text-to-semantic model; resumable, and no audio is kept.

Sentences (`sentences`) are said by a voice from the phones GPT-SoVITS's front end gives (`pronunciation`); what a
speech encoder hears is clustered into codes (`speech_codes`). Sentence ``n`` is said with seed ``n``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from toolkit.data.semantic_corpus import SemanticCorpus
from toolkit.models.gpt_sovits.semantic_batch import Pair
from toolkit.models.vits.host import Prior
from toolkit.models.voice import Buckets, Voice
from toolkit.text.symbols import COUNT_V2, ids_of
from toolkit.train.pronunciation import spoken_pieces
from toolkit.train.sentences import corpus_texts
from toolkit.train.speech_codes import Codebook, fit_codebook, speech_features
from toolkit.whole_file import whole_file

SentenceProgress = Callable[[int, int], None]
"""``on_progress(said, of)``."""
Piece = tuple[str, str]
"""A phone and its IPA."""

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
    forms = [spoken_pieces(text) for text in said]
    shards = scratch / _identity(voice, settings, forms)
    shards.mkdir(parents=True, exist_ok=True)
    heard: list[np.ndarray] = []
    timed: list[np.ndarray] = []
    for first in range(0, len(forms), _SHARD):
        path = shards / f"heard-{first:05d}.npz"
        if not path.exists():
            here = forms[first : first + _SHARD]
            _write_shard(path, _listen(voice, settings, here, first, len(forms), on_progress))
        with np.load(path) as stored:
            heard += np.split(stored["frames"], np.cumsum(stored["lengths"])[:-1])
            timed += np.split(stored["durations_ms"], np.cumsum(stored["phones"])[:-1])
        if on_progress is not None:
            on_progress(len(heard), len(forms))
    fitted = np.concatenate(heard[: min(settings.codebook_sentences, settings.training)])
    codebook = fit_codebook(fitted, settings.codes, settings.seed)
    pairs = [
        Pair(
            phones=np.array(ids_of([phone for phone, _ in pieces], COUNT_V2), np.int32),
            codes=codebook.codes(frames).astype(np.int32),
            durations_ms=durations,
        )
        for pieces, frames, durations in zip(forms, heard, timed, strict=True)
    ]
    middle, end = settings.training, settings.training + settings.held_out
    corpus = SemanticCorpus(
        training=tuple(pairs[:middle]), held_out=tuple(pairs[middle:end]), evaluation=tuple(pairs[end:])
    )
    return Synthesised(corpus=corpus, codebook=codebook, seconds=sum(len(frames) for frames in heard) / 25)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Said:
    """One sentence of a voice.

    Attributes:
        wave: ``[samples]``.
        durations_ms: ``[phones] int32``; rounded where a phone ends, so that errors do not add up.
    """

    wave: np.ndarray = field(repr=False)
    durations_ms: np.ndarray = field(repr=False)


def say(voice: Voice, pieces: Sequence[Piece], seed: int, *, noise_scale: float, noise_w: float) -> Said:
    """A sentence's waveform, and how long each of its phones is."""
    prior = voice_prior(voice, pieces, seed, noise_w)
    rest = voice.torch_runners(Buckets(phonemes=(), frames=(int(prior.durations.sum()),)))
    latent = voice.run_flow(rest["flow"], voice.prior_sample(prior, seed, noise_scale=noise_scale))
    return Said(wave=voice.run_decoder(rest["decoder"], latent), durations_ms=phone_durations_ms(voice, pieces, prior))


def voice_prior(voice: Voice, pieces: Sequence[Piece], seed: int, noise_w: float) -> Prior:
    """What the voice's encoder and duration predictor give of a sentence."""
    ids = voice.phoneme_ids("".join(ipa for _, ipa in pieces))
    encoder = voice.torch_runners(Buckets(phonemes=(len(ids),), frames=()))["encoder"]
    return voice.prior(encoder, ids, seed, noise_w=noise_w)


def phone_durations_ms(voice: Voice, pieces: Sequence[Piece], prior: Prior) -> np.ndarray:
    """How long each phone is said, ``[phones] int32``: its symbols' frames and those of the blanks behind them.

    Silence before the first symbol is the first phone's, behind the last one the last phone's.

    Args:
        voice: the voice.
        pieces: phones with their IPA.
        prior: what it made of them.
    """
    known, blank = voice.phoneme_id_map, len(voice.phoneme_id_map["_"])
    counts = [sum(len(known[symbol]) + blank for symbol in ipa if symbol in known) for _, ipa in pieces]
    frames = np.concatenate([[0], np.cumsum(np.asarray(prior.durations).reshape(-1))])
    ends = len(known["^"]) + blank + np.cumsum(counts)
    ends[-1] = len(frames) - 1
    ends_ms = np.rint(frames[ends] * (1000.0 * voice.hop / voice.sample_rate_hz)).astype(np.int32)
    return np.diff(ends_ms, prepend=np.int32(0))


def _listen(
    voice: Voice, settings: CorpusSettings, here: Sequence[Sequence[Piece]], first: int, total: int,
    on_progress: SentenceProgress | None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    for place, pieces in enumerate(here, first):
        said = say(voice, pieces, place, noise_scale=settings.noise_scale, noise_w=settings.noise_w)
        yield speech_features(said.wave, voice.sample_rate_hz), said.durations_ms
        if on_progress is not None:
            on_progress(place + 1, total)


def _write_shard(path: Path, heard: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
    frames, durations = zip(*heard, strict=True)
    with whole_file(path) as scratch:
        np.savez(
            scratch,
            frames=np.concatenate(frames),
            lengths=np.array([len(each) for each in frames]),
            durations_ms=np.concatenate(durations),
            phones=np.array([len(each) for each in durations]),
        )


def _identity(voice: Voice, settings: CorpusSettings, forms: Sequence[Sequence[Piece]]) -> str:
    """Digest of everything that decides what is heard."""
    heard = {name: value for name, value in asdict(settings).items() if name not in ("codes", "codebook_sentences")}
    said = [["timed"], *([ipa for _, ipa in pieces] for pieces in forms)]
    content = json.dumps([heard, dict(voice.sources), voice.label, said], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
