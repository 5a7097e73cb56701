"""The database alone: what it keeps, what it refuses, and what damage looks like."""

import sqlite3
from datetime import UTC, datetime

import pytest

from tests.toolkit.voices.made_voices import made_voice
from toolkit.errors import VoiceError
from toolkit.voices import schema
from toolkit.voices.database import VoiceDatabase

ALLOWED = {"consent": "allowed by the speaker", "sources": {"a.npz": "0" * 64}}


def _open(tmp_path, **options) -> VoiceDatabase:
    return VoiceDatabase(tmp_path / "voices.sqlite3", create=True, **options)


def test_voice_reads_back_as_it_was_added(tmp_path):
    with _open(tmp_path, now=lambda: datetime(2026, 11, 2, tzinfo=UTC)) as voices:
        assert voices.add("anna", made_voice(1, "ja"), **ALLOWED) == "added"
    with VoiceDatabase(tmp_path / "voices.sqlite3") as voices:
        assert voices.read("anna").sha256 == made_voice(1, "ja").sha256
        found = voices.show("anna")
    assert (found.language, found.consent, found.enrolled_at) == (
        "ja", "allowed by the speaker", "2026-11-02T00:00:00+00:00",
    )  # fmt: skip
    assert found.provenance["sources"] == {"a.npz": "0" * 64}
    assert found.provenance["tool"].startswith("toolkit ")


def test_same_voice_again_changes_nothing_and_another_is_refused(tmp_path):
    with _open(tmp_path) as voices:
        voices.add("anna", made_voice(1), **ALLOWED)
        before = voices.show("anna")
        assert voices.add("anna", made_voice(1), **ALLOWED) == "unchanged"
        assert voices.show("anna") == before
        with pytest.raises(VoiceError) as caught:
            voices.add("anna", made_voice(2), **ALLOWED)
        assert caught.value.code == "voices/exists"
        assert voices.show("anna") == before
        assert voices.add("anna", made_voice(2), **ALLOWED, replace=True) == "replaced"
        assert voices.read("anna").sha256 == made_voice(2).sha256
        assert len(voices.list()) == 1


def test_no_voice_without_consent(tmp_path):
    with _open(tmp_path) as voices:
        with pytest.raises(VoiceError) as caught:
            voices.add("anna", made_voice(), consent="  ", sources={})
        assert caught.value.code == "voices/no-consent"
        assert voices.list() == ()


def test_removed_voice_leaves_no_byte_behind(tmp_path):
    voice = made_voice(5)
    needle = voice.arrays["ge"].tobytes()[:64]
    with _open(tmp_path) as voices:
        voices.add("anna", voice, **ALLOWED)
        voices.remove("anna")
        left = b"".join(p.read_bytes() for p in tmp_path.iterdir())
        assert needle not in left
        with pytest.raises(VoiceError) as caught:
            voices.remove("anna")
        assert caught.value.code == "voices/unknown"


@pytest.mark.parametrize("method", ["show", "read", "remove"])
def test_every_door_checks_the_id(tmp_path, method):
    with _open(tmp_path) as voices:
        voices.add("anna", made_voice(), **ALLOWED)
        with pytest.raises(VoiceError) as caught:
            getattr(voices, method)("anna' OR '1'='1")
        assert caught.value.code == "voices/bad-id"
        assert [voice.user_id for voice in voices.list()] == ["anna"]


def test_file_belongs_to_its_owner_only(tmp_path):
    with _open(tmp_path) as voices:
        voices.add("anna", made_voice(), **ALLOWED)
        assert {p.stat().st_mode & 0o077 for p in tmp_path.iterdir()} == {0}


def test_reading_makes_no_file_when_there_is_none(tmp_path):
    with pytest.raises(VoiceError) as caught:
        VoiceDatabase(tmp_path / "none.sqlite3")
    assert caught.value.code == "voices/no-database"
    assert list(tmp_path.iterdir()) == []


def test_newer_schema_is_refused_and_not_touched(tmp_path):
    _open(tmp_path).close()
    path = tmp_path / "voices.sqlite3"
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(VoiceError) as caught:
        VoiceDatabase(path)
    assert caught.value.code == "voices/newer-schema"
    assert path.read_bytes() == before


def test_older_schema_is_migrated_or_refused(tmp_path, monkeypatch):
    with _open(tmp_path) as voices:
        voices.add("anna", made_voice(), **ALLOWED)
    monkeypatch.setattr(schema, "VERSION", 2)
    with pytest.raises(VoiceError) as caught:
        VoiceDatabase(tmp_path / "voices.sqlite3")
    assert caught.value.code == "voices/no-migration"
    monkeypatch.setitem(schema.MIGRATIONS, 1, ("ALTER TABLE voice ADD COLUMN note TEXT NOT NULL DEFAULT ''",))
    with VoiceDatabase(tmp_path / "voices.sqlite3") as voices:
        assert [voice.user_id for voice in voices.list()] == ["anna"]


def test_database_of_another_program_is_refused(tmp_path):
    path = tmp_path / "other.sqlite3"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE voice (id TEXT)")
    raw.close()
    with pytest.raises(VoiceError) as caught:
        VoiceDatabase(path, create=True)
    assert caught.value.code == "voices/not-a-database"


def test_every_damage_is_one_error_and_never_another_voice(tmp_path):
    path = tmp_path / "voices.sqlite3"
    with VoiceDatabase(path, create=True) as voices:
        for number in range(4):
            voices.add(f"user{number}", made_voice(number), **ALLOWED)
    whole = path.read_bytes()
    expected = {f"user{number}": made_voice(number).sha256 for number in range(4)}
    codes = set()
    for offset in range(0, len(whole), 401):
        for side in path.parent.iterdir():
            side.unlink()
        damaged = bytearray(whole)
        damaged[offset : offset + 16] = bytes(value ^ 0xA5 for value in damaged[offset : offset + 16])
        path.write_bytes(damaged)
        for user, digest in expected.items():
            try:
                with VoiceDatabase(path) as voices:
                    assert voices.read(user).sha256 == digest
            except VoiceError as error:
                codes.add(error.code)
    assert "voices/damaged" in codes
    assert codes <= {
        "voices/damaged", "voices/unknown", "voices/newer-schema", "voices/not-a-database", "voices/bad-features",
        "voices/no-migration", "voices/unusable",
    }  # fmt: skip


def test_truncated_and_foreign_files_are_damaged(tmp_path):
    with _open(tmp_path) as voices:
        voices.add("anna", made_voice(), **ALLOWED)
    whole = (tmp_path / "voices.sqlite3").read_bytes()
    path = tmp_path / "cut.sqlite3"
    for content in (whole[:3000], whole[:5000], b"not a database at all" * 100):
        path.write_bytes(content)
        with pytest.raises(VoiceError) as caught, VoiceDatabase(path) as voices:
            voices.read("anna")
        assert caught.value.code == "voices/damaged"


def test_full_disk_is_one_error_and_the_database_as_before(tmp_path):
    with _open(tmp_path) as voices:
        voices.add("anna", made_voice(1), **ALLOWED)
        pages = voices._connection.execute("PRAGMA page_count").fetchone()[0]
        voices._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(VoiceError) as caught:
            voices.add("ben", made_voice(2), **ALLOWED)
        assert caught.value.code == "output/disk-full"
        assert [voice.user_id for voice in voices.list()] == ["anna"]
        assert voices.read("anna").sha256 == made_voice(1).sha256
