"""The regeneration command, on a copy and with the small voice."""

import shutil
from pathlib import Path

import pytest

from converters.errors import ExtraMissing
from toolkit.data import load_manifest
from toolkit.data.manifest import DEFAULT_ROOT, MANIFEST_NAME
from toolkit.data.phonemize import espeak_phonemes
from toolkit.data.regenerate import regenerate
from toolkit.errors import DataError
from toolkit.models.seeded import seeded_voice

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(DEFAULT_ROOT, tmp_path / "data"))
    for split in ("calibration", "evaluation"):
        lines = (folder / f"{split}.txt").read_text(encoding="utf-8").splitlines()
        (folder / f"{split}.txt").write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    return folder


@needs_espeak
def test_same_texts_same_bytes_and_added_sentences_come_in(copied: Path) -> None:
    voice, before = seeded_voice(0), load_manifest(copied)
    first = regenerate(voice, copied, clips=False)
    content = (copied / MANIFEST_NAME).read_bytes()
    assert regenerate(voice, copied, clips=False).sha256 == first.sha256
    assert (copied / MANIFEST_NAME).read_bytes() == content
    assert first.clips == before.clips and len(first.sentences) == 4
    assert [s.phonemes for s in first.split("evaluation")] == [s.phonemes for s in before.split("evaluation")[:2]]
    grown = regenerate(voice, copied, add_calibration=["A new sentence, please.", " "], clips=False)
    assert grown.split("calibration")[-1].text == "A new sentence, please."


@needs_espeak
def test_adding_an_evaluation_sentence_is_refused(copied: Path) -> None:
    leaked = load_manifest(copied).split("evaluation")[0].text
    before = {path.name: path.read_bytes() for path in copied.iterdir() if path.is_file()}
    with pytest.raises(DataError, match="both splits"):
        regenerate(seeded_voice(0), copied, add_calibration=[leaked.upper()], clips=False)
    assert {path.name: path.read_bytes() for path in copied.iterdir() if path.is_file()} == before


@needs_espeak
def test_punctuation_stays() -> None:
    assert espeak_phonemes("Yes, really?") == "jˈɛs, ɹˈiəli?"


def test_without_espeak_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ExtraMissing, match="espeak-ng"):
        espeak_phonemes("Yes.")
