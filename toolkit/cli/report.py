"""``toolkit report``: renders a run's, a search's or a stack's results again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from toolkit.results import RunResult, Trend


def report(
    run: Path = typer.Argument(help="Run, search or stack directory, or its results.json, search.json or stack.json."),
    history: Path | None = typer.Option(None, help="History database: earlier results of the model in section 9."),
) -> None:
    """Render index.html and report.md from a run's results.json, or a search's or stack's page."""
    from toolkit.report import write_report
    from toolkit.report.search_page import write_search
    from toolkit.report.stack_page import write_stack_page
    from toolkit.results import load
    from toolkit.results.search import SEARCH_FILE, load_search
    from toolkit.results.stack import STACK_FILE, load_stack

    if run.name == SEARCH_FILE or (run / SEARCH_FILE).is_file():
        path = run / SEARCH_FILE if run.is_dir() else run
        typer.echo(write_search(load_search(path), path.parent))
        return
    if run.name == STACK_FILE or (run / STACK_FILE).is_file():
        path = run / STACK_FILE if run.is_dir() else run
        typer.echo(write_stack_page(load_stack(path), path.parent))
        return
    path = run / "results.json" if run.is_dir() else run
    result = load(path)
    paths = write_report(result, path.parent, trends=_trends(result, history) if history else ())
    typer.echo(f"{paths.html}\n{paths.markdown}")


def _trends(result: RunResult, database: Path) -> tuple[Trend, ...]:
    """The model's trends up to this result, which need not have been added."""
    from toolkit.history.database import History
    from toolkit.history.trends import up_to

    with History(database) as history:
        return up_to(result, history)
