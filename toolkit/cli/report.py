"""``toolkit report``: renders a run's or a search's results again."""

from __future__ import annotations

from pathlib import Path

import typer


def report(run: Path = typer.Argument(help="Run or search directory, or its results.json or search.json.")) -> None:
    """Render index.html and report.md from a run's results.json, or a search's page from its search.json."""
    from toolkit.report import write_report
    from toolkit.report.search_page import write_search
    from toolkit.results import load
    from toolkit.results.search import SEARCH_FILE, load_search

    if run.name == SEARCH_FILE or (run / SEARCH_FILE).is_file():
        path = run / SEARCH_FILE if run.is_dir() else run
        typer.echo(write_search(load_search(path), path.parent))
        return
    path = run / "results.json" if run.is_dir() else run
    paths = write_report(load(path), path.parent)
    typer.echo(f"{paths.html}\n{paths.markdown}")
