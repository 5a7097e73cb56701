"""What a GPT-SoVITS conversion found, as ``report.md``, ``results.json`` and the lines of the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.pipeline.events import StageRecord
from toolkit.pipeline.run_directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRow:
    """One graph of the bundle.

    Attributes:
        name: e.g. ``t2s_step_512``.
        float_bytes: size of its float32 file.
        shipped_bytes: size of its file as it ships, before graphs of a kind share their weights.
        float_snr_db: float32 TFLite against torch, the worst output; ``None`` when they are identical.
        precisions: realised precision and the number of operators that have it, read back from the file.
        float_macs_ratio: share of the multiply-adds that do not run in whole numbers; ``None`` without any.
        shipped_snr_db: the file as it ships against torch, by output.
        same_choice: inputs for which the likeliest code is torch's, of how many; ``None`` without logits.
        compared_on: inputs of that comparison.
    """

    name: str
    float_bytes: int
    shipped_bytes: int
    float_snr_db: float | None
    precisions: tuple[tuple[str, int], ...]
    float_macs_ratio: float | None
    shipped_snr_db: Mapping[str, float]
    same_choice: tuple[int, int] | None
    compared_on: str


def write_bundle_report(
    run: RunDirectory, title: str, rows: Sequence[GraphRow], sizes: Mapping[str, int], stages: Sequence[StageRecord]
) -> list[str]:
    """Writes ``results.json`` and ``report.md``; returns the verdict's lines."""
    seconds = sum(stage.seconds for stage in stages)
    run.write_json(
        "results.json",
        {
            "schema": "gpt-sovits-bundle/1",
            "model": title,
            "total_bytes": sum(sizes.values()),
            "files": dict(sizes),
            "graphs": [
                {
                    "name": row.name,
                    "float32_bytes": row.float_bytes,
                    "shipped_bytes": row.shipped_bytes,
                    "float_snr_db": row.float_snr_db,
                    "operators": dict(row.precisions),
                    "float_macs_ratio": row.float_macs_ratio,
                    "shipped_snr_db": {name: round(value, 3) for name, value in row.shipped_snr_db.items()},
                    "same_choice": row.same_choice,
                    "compared_on": row.compared_on,
                }
                for row in rows
            ],
            "stages": [{"name": s.name, "seconds": round(s.seconds, 3), "fact": s.fact} for s in stages],
        },
    )
    run.write_text("report.md", "\n".join(_page(title, rows, sizes, stages)) + "\n")
    return [
        "",
        f"PASS  {title}",
        f"  {len(rows)} graphs, each equal to torch at every float hop (worst {_db(_worst(rows))})",
        f"  bundle {sum(sizes.values()):,} bytes: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items()),
        f"  {seconds:.0f} s; the quality of a voice is not judged here: listen with `toolkit speak`",
    ]


def _page(title: str, rows: Sequence[GraphRow], sizes: Mapping[str, int], stages: Sequence[StageRecord]) -> list[str]:
    return [
        f"# {title}",
        "",
        f"Bundle: {sum(sizes.values()):,} bytes. Quality and phone latency were not measured in this run.",
        "",
        "| file | bytes |",
        "|---|---|",
        *(f"| {name} | {size:,} |" for name, size in sizes.items()),
        "",
        "Graphs of one file share equal weights, so that a file is smaller than the sum of its graphs.",
        "",
        "| graph | float32 TFLite against torch | float32 bytes | shipped bytes | operators by realised precision |",
        "|---|---|---|---|---|",
        *(
            f"| {row.name} | {_db(row.float_snr_db)} | {row.float_bytes:,} | {row.shipped_bytes:,} | "
            f"{', '.join(f'{count} {kind}' for kind, count in row.precisions)} |"
            for row in rows
        ),
        "",
        "What ships, against torch. A signal-to-noise ratio is not a listener, and with random weights the likeliest"
        " code is decided by next to nothing: neither is a judgement of quality.",
        "",
        "| graph | signal to noise by output | same likeliest code | multiply-adds with floats | compared on |",
        "|---|---|---|---|---|",
        *(
            f"| {row.name} | {', '.join(f'{name} {_db(value)}' for name, value in row.shipped_snr_db.items())} | "
            f"{_of(row.same_choice)} | {_share(row.float_macs_ratio)} | {row.compared_on} |"
            for row in rows
        ),
        "",
        "| stage | seconds | finding |",
        "|---|---|---|",
        *(f"| {stage.name} | {stage.seconds:.1f} | {stage.fact} |" for stage in stages),
    ]


def _worst(rows: Sequence[GraphRow]) -> float | None:
    return min((row.float_snr_db for row in rows if row.float_snr_db is not None), default=None)


def _of(counts: tuple[int, int] | None) -> str:
    return "" if counts is None else f"{counts[0]} of {counts[1]}"


def _share(ratio: float | None) -> str:
    return "" if ratio is None else f"{100 * ratio:.0f} %"


def _db(value: float | None) -> str:
    return "identical" if value is None else f"{value:.1f} dB"
