"""The voice a user names for folding: a features file, or a voice of a database as ``DATABASE:ID``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import VoiceError
from toolkit.pipeline.run_directory import file_sha256

if TYPE_CHECKING:
    from toolkit.voices.features import VoiceFeatures


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenVoice:
    """Features of one voice and where they came from.

    Attributes:
        where: as the user wrote it, for errors.
        name: for the manifest: file name, or ``database:id``.
        sha256: of the file; of the features themselves where they come from a database, which changes with every voice.
        features: the voice.
    """

    where: str
    name: str
    sha256: str
    features: VoiceFeatures = field(repr=False)


def chosen_voice(where: str) -> ChosenVoice:
    """Reads a voice: a file of that name comes first, then ``DATABASE:ID``.

    Raises:
        VoiceError: no such file, database or voice, or it is damaged.
    """
    from toolkit.voices.database import VoiceDatabase
    from toolkit.voices.feature_file import read_features

    path = Path(where)
    if path.is_file():
        return ChosenVoice(where=where, name=path.name, sha256=file_sha256(path), features=read_features(path)[0])
    database, colon, user_id = where.rpartition(":")
    if not colon or not database:
        raise VoiceError(
            "there is no such features file",
            code="voices/bad-features",
            where=where,
            hint="give a .npz of toolkit voices export, or DATABASE:ID, e.g. voices.sqlite3:anna",
        )
    with VoiceDatabase(Path(database)) as voices:
        features = voices.read(user_id)
    return ChosenVoice(where=where, name=f"{Path(database).name}:{user_id}", sha256=features.sha256, features=features)
