"""Versions as a search records them, written down by hand."""

from __future__ import annotations

from toolkit.results import LatencyEstimate
from toolkit.results.search import Score, SearchResult, Version, Violation


def estimate(ms: float, unit: str = "CPU") -> LatencyEstimate:
    return LatencyEstimate(
        part="total", device="A Phone", unit=unit, unit_ms={unit: ms}, ms=ms, low_ms=0.5 * ms, high_ms=2 * ms,
        median_error=0.4, audio_seconds=3.0, how="by hand",
    )  # fmt: skip


def version(number: int, *, score: float = 1.0, size: int = 100, ms: float = 10.0, **more) -> Version:
    fields = {
        "chosen": {"precision.decoder": f"v{number}"},
        "size_bytes": size,
        "part_bytes": {"flow": size // 4, "decoder": size - size // 4},
        "score": Score(metric="output_snr_db", title="outputs against torch, worst", unit="dB", value=score),
        "latency": estimate(ms),
        "part_ms": {"flow": 0.2 * ms, "decoder": 0.8 * ms},
    }
    return Version(number=number, **{**fields, **more})


def over(gate: str, value: float, limit: float) -> Violation:
    titles = {"total_bytes": "Whole bundle on disk", "estimated_latency": "Latency estimated"}
    return Violation(
        gate=gate, title=titles[gate], value=value, limit=limit, unit="units", excess_ratio=value / limit - 1
    )


def refused(number: int, part: str, chosen: dict[str, str]) -> Version:
    return Version(number=number, chosen=chosen, refused="[precision/not-realised]: no", refused_part=part)


def result(*versions: Version, best: int | None = None, nearest: int | None = None, **more) -> SearchResult:
    fields = {
        "model": "a model", "device": "A Phone", "command": "toolkit convert", "base": "any-model",
        "intent": {"device": "a-phone", "max_size": 90.0, "max_latency": 12.0, "size_of": "disk", "quality": {}},
        "positions": {"precision.decoder": ("recipe", "int8")}, "why": {"precision": "fewer bits"}, "combinations": 2,
        "best_path": "best" if best else None,
    }  # fmt: skip
    return SearchResult(versions=versions, best=best, nearest=nearest, **{**fields, **more})
