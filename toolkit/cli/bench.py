"""``toolkit bench``: latency and memory of TFLite files, or of whole sentences with bundles, on the host CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from toolkit.cli.render import Terminal
from toolkit.errors import BenchError

if TYPE_CHECKING:
    from toolkit.pipeline.sentence_bench import SentenceBench


def bench(
    models: list[Path] = typer.Argument(
        help=".tflite files, or GPT-SoVITS bundles, which say a whole sentence; several take turns and are compared."
    ),
    threads: list[int] = typer.Option([1, 2], "--threads", help="Thread counts; repeat the flag."),
    runs: int = typer.Option(30, min=1, help="Files: measured runs per file and thread count."),
    warmup: int = typer.Option(3, min=0, help="Files: runs before measuring."),
    codes: int = typer.Option(75, min=1, help="Bundles: length of the sentence in semantic codes, 25 a second."),
    phones: int = typer.Option(40, min=1, help="Bundles: phones of the sentence."),
    rounds: int = typer.Option(5, min=1, help="Bundles: sentences that count."),
    voices: int = typer.Option(1, min=1, help="Bundles: voices that speak while memory is measured."),
    memory_mib: int = typer.Option(300, "--memory", min=1, help="Bundles: memory bound in MiB."),
    as_json: bool = typer.Option(False, "--json", help="JSON instead of text."),
) -> int:
    """Measure latency (init, first, p50, p95; or phases of a sentence) and peak memory on the host CPU."""
    folders = [path for path in models if path.is_dir()]
    if folders and len(folders) != len(models):
        raise BenchError(
            "files and bundles cannot be compared",
            code="bench/mixed",
            where=", ".join(str(path) for path in models),
            hint="give .tflite files only, or bundle directories only",
        )
    outcome: Any
    if folders:
        outcome = _bundles(folders, max(threads), codes, phones, rounds, voices, memory_mib << 20, quiet=as_json)
    else:
        from toolkit.pipeline.benchmark import bench_files

        outcome = bench_files(models, tuple(threads), runs, warmup)
    typer.echo(json.dumps(outcome.as_json(), indent=1) if as_json else outcome.as_text())
    return 0


def _bundles(
    folders: list[Path],
    threads: int,
    codes: int,
    phones: int,
    rounds: int,
    voices: int,
    bound_bytes: int,
    *,
    quiet: bool,
) -> SentenceBench:
    from toolkit.pipeline.events import StageClock
    from toolkit.pipeline.sentence_bench import bench_bundles

    stage = "sentences"
    inside = [folder / "bundle" if (folder / "bundle").is_dir() else folder for folder in folders]
    with Terminal(quiet=quiet) as terminal, StageClock(terminal).stage(stage):
        return bench_bundles(
            inside,
            codes=codes,
            phones=phones,
            threads=threads,
            rounds=rounds,
            voices=voices,
            bound_bytes=bound_bytes,
            on_progress=lambda done, total, note: terminal.progress(stage, done, total, note),
        )
