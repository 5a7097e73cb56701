"""``toolkit voices add`` and ``export``: features into the database and out of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from toolkit.voices.database import VoiceDatabase
from toolkit.voices.feature_file import read_features, write_features
from toolkit.voices.identifier import checked_id


def enrol_features(database: Path, user_id: str, path: Path, *, consent: str, language: str, replace: bool) -> str:
    """Stores precomputed features.

    Args:
        database: the file; made if it is not there.
        user_id: who.
        path: ``.npz`` of features.
        consent: the note; empty takes the one an exported file carries.
        language: where the file names none.
        replace: overwrite another voice of that id.

    Returns:
        ``added``, ``unchanged`` or ``replaced``.

    Raises:
        VoiceError: id, file, consent or database is unusable.
    """
    checked_id(user_id)  # before any file is opened or made
    features, meta = read_features(path, language)
    exported = meta.get("provenance") if isinstance(meta.get("provenance"), dict) else {}
    sources = exported.get("sources") or {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    with VoiceDatabase(database, create=True) as voices:
        return voices.add(
            user_id, features, consent=consent or str(meta.get("consent", "")), sources=sources, replace=replace
        )


def export_features(database: Path, user_id: str, out: Path) -> None:
    """Writes a voice with its consent note and provenance, whole or not at all.

    Raises:
        VoiceError: no such voice, or the database is unusable.
    """
    with VoiceDatabase(database) as voices:
        voice, features = voices.show(user_id), voices.read(user_id)
    write_features(out, features, {"consent": voice.consent, "provenance": dict(voice.provenance)})
