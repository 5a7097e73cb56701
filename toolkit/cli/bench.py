"""``toolkit bench``: latency and memory of TFLite files on the host CPU."""

from __future__ import annotations

import json
from pathlib import Path

import typer


def bench(
    models: list[Path] = typer.Argument(help=".tflite files; several are measured interleaved and compared."),
    threads: list[int] = typer.Option([1, 2], "--threads", help="Thread counts; repeat the flag."),
    runs: int = typer.Option(30, min=1, help="Measured runs per file and thread count."),
    warmup: int = typer.Option(3, min=0, help="Runs before measuring."),
    patience: float | None = typer.Option(
        None, min=0.1, help="Seconds that loading and running all files once may take; by their size when left out."
    ),
    as_json: bool = typer.Option(False, "--json", help="JSON instead of text."),
) -> int:
    """Measure init, first and steady latency (p50, p95) and peak memory on the host CPU."""
    from toolkit.pipeline.benchmark import bench_files

    outcome = bench_files(models, tuple(threads), runs, warmup, patience)
    typer.echo(json.dumps(outcome.as_json(), indent=1) if as_json else outcome.as_text())
    return 0
