"""The few lines a search ends with on the terminal."""

from __future__ import annotations

from pathlib import Path

from toolkit.results.search import SearchResult, Version


def search_text(result: SearchResult, out: Path) -> str:
    """The best version, or the nearest miss and what blocks it; where the page and the files are."""
    made = sum(version.made for version in result.versions)
    tried = f"{len(result.versions)} of {result.combinations} versions tried, {made} could be made"
    fitting = sum(version.feasible for version in result.versions)
    lines = [""]
    best = result.version(result.best)
    if best is not None:
        lines.append(f"FOUND  version {best.number} of {result.model}: {best.label}  ({tried}, {fitting} fit)")
        lines += _facts(best)
        lines.append(f"  files: {out / (result.best_path or '')}")
    else:
        lines.append(f"NOTHING FITS  {result.model} on {result.device}  ({tried})")
        miss = result.version(result.nearest)
        if miss is not None:
            lines.append(f"  nearest miss: version {miss.number}: {miss.label}")
            lines += _facts(miss)
        lines += [f"  blocked by  {line}" for line in result.blockers]
    lines += [f"  note: {note}" for note in result.notes]
    lines.append(f"  page: {out / 'index.html'}")
    return "\n".join(lines)


def _facts(version: Version) -> list[str]:
    lines = []
    if version.size_bytes is not None:
        lines.append(f"    size       {version.size_bytes:,} bytes, measured")
    if version.latency is not None:
        heard = f" for {version.latency.audio_seconds:.2f} s of audio" if version.latency.audio_seconds else ""
        lines.append(f"    latency    {version.latency.sentence}{heard}")
    if version.score is not None:
        lines.append(f"    quality    {version.score.value:.5g} {version.score.unit}, {version.score.title}, measured")
    lines += [
        f"    over       {v.title}: {v.value:,.4g} {v.unit}, limit {v.limit:,.4g} ({v.excess_ratio:+.0%})"
        for v in version.violations
    ]
    return lines
