"""Makes `calibration_data/` again from its text files, or enlarges it after lines were added to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from converters.errors import ExtraMissing
from toolkit.data.audio import write_wave
from toolkit.data.manifest import (
    DEFAULT_ROOT,
    MANIFEST_NAME,
    Clip,
    Manifest,
    Sentence,
    Split,
    load_manifest,
    require_disjoint,
    sentence_digest,
)
from toolkit.data.phonemize import espeak_phonemes
from toolkit.models.voice import Buckets, Voice
from toolkit.whole_file import whole_file

TEXT_ORIGIN = "written for this project"
TEXT_LICENCE = "CC0-1.0"
CLIP_ORIGIN = "hibari-tts 0.2.1, voice heart (distilled from Kokoro-82M), seed 0"
CLIP_LICENCE = "Apache-2.0"
CLIP_RATE_HZ = 24000


def regenerate(
    voice: Voice,
    root: Path | None = None,
    *,
    add_calibration: Iterable[str] = (),
    clips: bool = True,
) -> Manifest:
    """Writes phonemes, ids, lengths, clips and the manifest anew from the three text files of the folder.

    Args:
        voice: the voice whose phoneme table and speaking rate are recorded; the default voice for the committed data.
        root: the data folder; the project's when ``None``.
        add_calibration: sentences appended to ``calibration.txt`` first.
        clips: synthesise the clips too (needs hibari-tts); otherwise the present ones are kept.

    Returns:
        The new manifest, verified.

    Raises:
        ExtraMissing: espeak-ng, or hibari-tts when clips are wanted, is not installed.
        DataError: a sentence is in both splits; nothing was written then.
    """
    folder = root or DEFAULT_ROOT
    added = [text.strip() for text in add_calibration if text.strip()]
    texts: dict[Split, list[str]] = {
        "calibration": [*_lines(folder / "calibration.txt"), *added],
        "evaluation": _lines(folder / "evaluation.txt"),
    }
    require_disjoint([(text, split) for split, lines in texts.items() for text in lines], folder)
    entries: list[Sentence | Clip] = [
        _sentence(voice, f"{split}-{index:03d}", split, text)
        for split, lines in texts.items()
        for index, text in enumerate(lines)
    ]
    if added:
        _write(folder / "calibration.txt", "".join(f"{text}\n" for text in texts["calibration"]))
    entries += _speak_clips(folder) if clips else load_manifest(folder).clips
    rows = [json.dumps(entry.model_dump(), ensure_ascii=False, separators=(", ", ": ")) for entry in entries]
    _write(folder / MANIFEST_NAME, "".join(f"{row}\n" for row in rows))
    return load_manifest(folder)


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _sentence(voice: Voice, name: str, split: Split, text: str) -> Sentence:
    phonemes = espeak_phonemes(text, voice.language)
    ids = voice.phoneme_ids(phonemes)
    bucket = -(-max(len(ids), 32) // 32) * 32
    encoder = voice.torch_runners(Buckets(phonemes=(bucket,), frames=()))["encoder"]
    frames = int(voice.prior(encoder, ids).durations.sum())
    return Sentence(
        name=name,
        split=split,
        text=text,
        phonemes=phonemes,
        ids=tuple(ids.tolist()),
        seconds=round(frames * voice.hop / voice.sample_rate_hz, 3),
        language=voice.language,
        origin=TEXT_ORIGIN,
        licence=TEXT_LICENCE,
        sha256=sentence_digest(text, phonemes, ids.tolist()),
    )


def _speak_clips(folder: Path) -> list[Clip]:
    """Synthesises ``clips.txt`` with hibari-tts, a voice whose licence and whose teacher's allow it."""
    try:
        from hibari import Hibari
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"package {error.name!r} is not installed",
            where="clips",
            hint="pip install --no-deps hibari-tts==0.2.1, or regenerate the sentences only",
        ) from error
    speaker = Hibari()
    found: list[Clip] = []
    for index, text in enumerate(_lines(folder / "clips.txt")):
        wave = speaker(text, seed=0)
        file = f"clips/clip-{index:03d}.flac"
        write_wave(folder / file, wave, CLIP_RATE_HZ)
        found.append(
            Clip(
                name=f"clip-{index:03d}",
                file=file,
                text=text,
                seconds=round(len(wave) / CLIP_RATE_HZ, 3),
                sample_rate_hz=CLIP_RATE_HZ,
                origin=CLIP_ORIGIN,
                licence=CLIP_LICENCE,
                sha256=hashlib.sha256((folder / file).read_bytes()).hexdigest(),
            )
        )
    return found
