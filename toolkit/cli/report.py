"""``toolkit report``: renders a run's results again."""

from __future__ import annotations

from pathlib import Path

import typer


def report(run: Path = typer.Argument(help="Run directory or its results.json.")) -> None:
    """Render index.html and report.md from a run's results.json."""
    from toolkit.report import write_report
    from toolkit.results import load

    path = run / "results.json" if run.is_dir() else run
    paths = write_report(load(path), path.parent)
    typer.echo(f"{paths.html}\n{paths.markdown}")
