"""``toolkit report``: renders a run's results again."""

from __future__ import annotations

from pathlib import Path

import typer


def report(run: Path = typer.Argument(help="Run directory or its results.json.")) -> None:
    """Render index.html and report.md from a run's results.json."""
    from toolkit.pipeline.publish import render
    from toolkit.results import read

    path = run / "results.json" if run.is_dir() else run
    for written in render(read(path), path.parent):
        typer.echo(written)
