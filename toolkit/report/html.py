"""Writes a result as one HTML page that needs no network and no script."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from toolkit.report import card, mel, overlays, trace
from toolkit.report.blocks import Player
from toolkit.report.format import seconds, signed
from toolkit.report.markdown import markdown
from toolkit.report.template import filled_template
from toolkit.report.view import page
from toolkit.results import Clip, RunResult, Trend
from toolkit.whole_file import whole_file

_EMBED_LIMIT_BYTES = 300_000
_WITH_IMAGES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPaths:
    """The files a report consists of; ``trace`` is None when nothing was timed."""

    html: Path
    markdown: Path
    model_card: Path
    trace: Path | None
    overlays: tuple[Path, ...]


def render(
    result: RunResult,
    run_directory: Path | None = None,
    *,
    embed_audio: bool = False,
    trends: tuple[Trend, ...] = (),
) -> str:
    """The page as text.

    Args:
        result: what was measured.
        run_directory: where the clips' relative paths start; without it the page has no players.
        embed_audio: puts clips up to 300 kB each into the page instead of linking the files beside it.
        trends: this model's quantities over time, for the history section.
    """
    players = _players(result, run_directory, embed=embed_audio) if run_directory else ()
    return filled_template("page.html.j2", page(result, players, trends))


def write_report(
    result: RunResult, run_directory: Path, *, embed_audio: bool = False, trends: tuple[Trend, ...] = ()
) -> ReportPaths:
    """Writes the page, its short form, the model card, the trace and the overlays, each file whole or not at all."""
    traced, laid = trace.trace(result), overlays.overlays(result)
    paths = ReportPaths(
        html=run_directory / "index.html",
        markdown=run_directory / "report.md",
        model_card=run_directory / card.FILE,
        trace=run_directory / trace.FILE if traced else None,
        overlays=tuple(run_directory / overlays.FOLDER / name for name in laid),
    )
    _write(paths.html, render(result, run_directory, embed_audio=embed_audio, trends=trends))
    _write(paths.markdown, markdown(result))
    _write(paths.model_card, card.card(result))
    if paths.trace is not None:
        _write(paths.trace, json.dumps(traced, ensure_ascii=False, allow_nan=False))
    for path, overlay in zip(paths.overlays, laid.values(), strict=True):
        _write(path, json.dumps(overlay, ensure_ascii=False, allow_nan=False))
    return paths


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _players(result: RunResult, directory: Path, *, embed: bool) -> tuple[Player, ...]:
    found = []
    for clip in result.clips:
        reference, candidate = directory / clip.reference_path, directory / clip.candidate_path
        if not (reference.is_file() and candidate.is_file()):
            continue
        images = mel.images(reference, candidate) if len(found) < _WITH_IMAGES else ()
        found.append(
            Player(
                title=clip.id,
                text=clip.text,
                reference=_source(reference, clip.reference_path, embed=embed),
                candidate=_source(candidate, clip.candidate_path, embed=embed),
                images=images,
                facts=_facts(result, clip),
                scale=mel.SCALE_TEXT if images else "",
            )
        )
    return tuple(found)


def _source(path: Path, relative: str, *, embed: bool) -> str:
    if not embed or path.stat().st_size > _EMBED_LIMIT_BYTES:
        return relative
    kind = {".flac": "flac", ".wav": "wav", ".ogg": "ogg"}.get(path.suffix, "wav")
    return f"data:audio/{kind};base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _facts(result: RunResult, clip: Clip) -> str:
    words = [seconds(clip.seconds)]
    utterance = next((u for u in result.quality.utterances if u.id == clip.id), None) if result.quality else None
    if utterance is not None:
        mos = utterance.metrics.get("distillmos")
        if mos is not None and mos.reference is not None:
            words.append(f"DistillMOS {signed(mos.value - mos.reference)}")
        speaker = utterance.metrics.get("resemblyzer_cosine")
        if speaker is not None:
            words.append(f"speaker cosine {speaker.value:.4f}")
        second = utterance.metrics.get("voicefilter_cosine")
        if second is not None:
            words.append(f"second judge {second.value:.4f}")
    return " · ".join(words)
