"""``toolkit speak`` with a GPT-SoVITS bundle: user id and text in, WAV out, as a phone app would do it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from converters.errors import InputError
from toolkit.engine.bundle import Bundle, read_bundle
from toolkit.engine.degrade import Ladder, Patience
from toolkit.engine.loading import GraphLoader
from toolkit.engine.reading import read_sentences
from toolkit.engine.residency import Residency
from toolkit.engine.singing import rungs_of
from toolkit.engine.sound import levelled, write_wave
from toolkit.engine.speaking import Engine, Piece, SpeechReport, most_codes
from toolkit.engine.tempo import checked_speed
from toolkit.text.front_end import Phones, aligned_phones_of, refuse_unread
from toolkit.text.sentences import sentences_of
from toolkit.text.symbols import parsed_phones
from toolkit.voices.database import VoiceDatabase


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How to speak.

    Attributes:
        threads: of each interpreter.
        seed: of tokens and noise.
        memory_bytes: most the process may grow.
        delegate: shared library of a delegate; empty is the CPU.
        deadline_factor: real-time factor the ladder holds chunks to.
        cut: how long text is split.
        speed: of speech, 1 is as the model speaks.
    """

    threads: int = 2
    seed: int = 0
    memory_bytes: int = 300 << 20
    delegate: str = ""
    deadline_factor: float = 1.0
    cut: str = "cut5"
    speed: float = 1.0


def speak_as_user(
    folder: Path,
    *,
    user_id: str,
    database: Path,
    text: str,
    phones: str,
    language: str,
    out: Path,
    settings: EngineSettings,
) -> list[str]:
    """Synthesises into a WAV file; returns the lines to print.

    Args:
        folder: the bundle.
        user_id: whose voice.
        database: where it is enrolled.
        text: what to say; or
        phones: phones of each sentence, sentences separated by ``|``.
        language: of the text; that of the voice's reference when empty.
        out: the file.
        settings: how.

    Raises:
        InputError: no user, or neither text nor phones.
        EngineError: bundle, voice or sentence is unusable.
        VoiceError: no such voice, or the database is unusable.
        ExtraMissing: the text's language needs packages that are not installed.
    """
    if not user_id:
        raise InputError("this bundle speaks as a user", where="toolkit speak", hint="give --user ID and --database")
    if bool(text) == bool(phones):
        raise InputError("give either --text or --phones", where="toolkit speak", hint="one of them, not both")
    checked_speed(settings.speed)
    residency = Residency(settings.memory_bytes)  # first, so that all that follows counts
    bundle = read_bundle(folder)
    rungs = rungs_of(bundle, settings.delegate)
    with VoiceDatabase(database) as voices:
        voice = voices.read(user_id)
    written = written_sentences(bundle, text, phones, language or voice.language, settings.cut)
    for sentence, said in written:  # all of them before the first: an hour may lie between
        most_codes(bundle, voice, len(said.ids), sentence, settings.speed)
    patience = Patience(deadline_factor=settings.deadline_factor, headroom_factor=settings.deadline_factor / 2)
    loader = GraphLoader(residency, threads=settings.threads)
    engine = Engine(bundle, loader, Ladder(rungs, patience))
    report = SpeechReport()
    sentences = read_sentences(bundle, loader, written, report.notes)
    pieces = engine.speak(voice, sentences, seed=settings.seed, speed=settings.speed, report=report)
    write_wave(out, _levelled_sentences(pieces), bundle.sample_rate_hz)
    return _lines(out, report, residency, settings.threads)


def written_sentences(bundle: Bundle, text: str, phones: str, language: str, cut: str) -> list[tuple[str, Phones]]:
    """Sentences as they are written and their phones, of a text or of phones with ``|`` between sentences.

    Raises:
        EngineError: a phone is unknown, nothing is left to say, or none of it is read in that language.
        ExtraMissing: the text's language needs packages that are not installed.
    """
    if phones:
        written = [part.strip() for part in phones.split("|") if part.strip()]
        return [(part, Phones(ids=parsed_phones(part, bundle.symbols))) for part in written]
    parts = sentences_of(text, language, cut)
    written = [(part, aligned_phones_of(part, language, bundle.symbols)) for part in parts]
    if not any(each.spoken for _, each in written):
        refuse_unread(written[0][1], text, language, "--text")
    return written


def _levelled_sentences(pieces: Iterator[Piece]) -> Iterator[np.ndarray]:
    """Sentence by sentence, each levelled as a whole; an app that plays pieces as they come would skip this step.

    The vocoders end in tanh, so there is nothing to level unless a model of another kind is used.
    """
    for _, of_sentence in groupby(pieces, key=lambda piece: piece.sentence):
        yield levelled(np.concatenate([piece.samples for piece in of_sentence]))


def _lines(out: Path, report: SpeechReport, residency: Residency, threads: int) -> list[str]:
    lines = [
        f"{out}  {report.audio_seconds:.2f} s of audio in {report.elapsed_seconds:.2f} s, "
        f"real-time factor {report.real_time_factor:.2f}, first audio after {report.first_audio_seconds:.2f} s "
        f"({threads} threads)",
        f"  {report.codes} codes: prefill {report.prefill_seconds:.2f} s, steps {report.step_seconds:.2f} s, "
        f"text encoder and flow {report.acoustic_seconds:.2f} s; "
        f"memory grown by at most {residency.peak_bytes / 2**20:.0f} MiB, {residency.evictions} eviction(s)",
    ]
    return lines + [f"  note: {note}" for note in report.notes]
