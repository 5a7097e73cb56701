"""``toolkit voices add`` and ``export``: features into the database and out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from converters.errors import ExtraMissing
from toolkit.errors import VoiceError
from toolkit.voices.database import VoiceDatabase
from toolkit.voices.feature_file import read_features, write_features
from toolkit.voices.features import VoiceFeatures, checked_features
from toolkit.voices.identifier import checked_id

# What upstream accepts as a reference; the style of a shorter one is unstable, a longer one costs prompt rows.
SHORTEST_SECONDS, LONGEST_SECONDS = 3.0, 10.0


class FeatureMaker(Protocol):
    """Makes what the engine needs of a reference recording: a checkpoint in torch, or enrolment graphs.

    Attributes:
        model_sha256: digest of the checkpoint its styles belong to.
        sources: name of each file it works with to its sha256.
        absent: array it could not make of the last recording to the reason.
    """

    model_sha256: str
    sources: Mapping[str, str]
    absent: Mapping[str, str]

    def __call__(self, wave: np.ndarray, sample_rate_hz: int, text: str, language: str) -> Mapping[str, np.ndarray]:
        """Arrays named as in ``toolkit.voices.features.RULES``, without the d-vector.

        Args:
            wave: ``[samples] float32``, mono.
            sample_rate_hz: its rate.
            text: what is said in it.
            language: of the text.
        """


def enrol_features(
    database: Path, user_id: str, path: Path, *, audio: Path | None, consent: str, language: str, replace: bool
) -> str:
    """Stores precomputed features.

    Args:
        database: the file; made if it is not there.
        user_id: who.
        path: ``.npz`` of features.
        audio: the reference recording; gives the d-vector where the features have none.
        consent: the note; empty takes the one an exported file carries.
        language: where the file names none.
        replace: overwrite another voice of that id.

    Returns:
        ``added``, ``unchanged`` or ``replaced``.

    Raises:
        VoiceError: id, file, recording, consent or database is unusable.
        DataError: the recording cannot be read.
        ExtraMissing: a d-vector is wanted and resemblyzer is not installed.
    """
    checked_id(user_id)  # before any file is opened or made
    features, meta = read_features(path, language)
    exported = meta.get("provenance") if isinstance(meta.get("provenance"), dict) else {}
    sources = exported.get("sources") or {path.name: _sha256(path)}
    if audio is not None:
        wave, rate = _recording(audio)
        sources = {**sources, audio.name: _sha256(audio)}
        if "d_vector" not in features.arrays:
            features = _with_speaker(features.arrays, wave, rate, features.language, features.model_sha256)
    with VoiceDatabase(database, create=True) as voices:
        return voices.add(
            user_id, features, consent=consent or str(meta.get("consent", "")), sources=sources, replace=replace
        )


def enrol_recording(
    database: Path,
    user_id: str,
    audio: Path,
    make: FeatureMaker,
    *,
    text: str,
    language: str,
    consent: str,
    replace: bool = False,
) -> str:
    """Makes the features of a recording and stores them.

    Args:
        database: the file; made if it is not there.
        user_id: who.
        audio: 3 to 10 seconds of one speaker.
        make: makes style, codes and phones.
        text: what is said in the recording.
        language: of the text.
        consent: the note.
        replace: overwrite another voice of that id.

    Returns:
        ``added``, ``unchanged`` or ``replaced``.

    Raises:
        VoiceError: id, recording, consent or database is unusable.
        DataError: the recording cannot be read.
        EngineError: the text has no words, or its language no front end.
        ExtraMissing: the language's packages are not installed.
    """
    check_request(user_id, consent)
    wave, rate = _recording(audio)
    arrays, absent = make(wave, rate, text, language), dict(make.absent)
    try:
        features = _with_speaker(arrays, wave, rate, language, make.model_sha256)
    except ExtraMissing as error:
        # Speech needs no d-vector; it tells voices apart. The voice says that it has none, and why.
        absent["d_vector"] = error.message
        features = checked_features(arrays, language, make.model_sha256)
    sources = {audio.name: _sha256(audio), **make.sources}
    with VoiceDatabase(database, create=True) as voices:
        return voices.add(user_id, features, consent=consent, sources=sources, absent=absent, replace=replace)


def check_request(user_id: str, consent: str) -> None:
    """Whether a voice may be enrolled at all, before minutes of work.

    Raises:
        VoiceError: bad id, or no consent note.
    """
    checked_id(user_id)
    if not consent.strip():
        raise VoiceError(
            "no consent note", code="voices/no-consent", where=user_id, hint="say who allowed it: --consent TEXT"
        )


def export_features(database: Path, user_id: str, out: Path) -> None:
    """Writes a voice with its consent note and provenance, whole or not at all.

    Raises:
        VoiceError: no such voice, or the database is unusable.
    """
    with VoiceDatabase(database) as voices:
        voice, features = voices.show(user_id), voices.read(user_id)
    write_features(out, features, {"consent": voice.consent, "provenance": dict(voice.provenance)})


def _recording(audio: Path) -> tuple[np.ndarray, int]:
    from toolkit.data.audio import read_wave

    wave, rate = read_wave(audio)
    seconds = len(wave) / rate
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS or not wave.any():
        raise VoiceError(
            f"the recording has {seconds:.2f} s{'' if wave.any() else ' of silence'}",
            code="voices/bad-recording",
            where=str(audio),
            hint=f"{SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g} seconds of one person speaking",
        )
    return wave, rate


def _with_speaker(
    arrays: Mapping[str, np.ndarray], wave: np.ndarray, rate: int, language: str, model_sha256: str
) -> VoiceFeatures:
    from toolkit.quality.speaker import speaker_vector

    return checked_features({**arrays, "d_vector": speaker_vector(wave, rate)}, language, model_sha256)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
