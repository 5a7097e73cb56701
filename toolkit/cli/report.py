"""``toolkit report``: renders a run's, a search's or a stack's results again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from converters.errors import InputError

if TYPE_CHECKING:
    from toolkit.results import RunResult, Trend


def report(
    run: Path | None = typer.Argument(
        None, help="Run, search or stack directory, or its results.json, search.json or stack.json."
    ),
    history: Path | None = typer.Option(None, help="History database: earlier results of the model in section 9."),
    schema: bool = typer.Option(False, "--schema", help="Print the JSON Schema of results.json and stop."),
) -> None:
    """Render a run's results.json again, or the page of a search or a stack.

    Beside index.html and report.md come model_card.md, trace.json (Perfetto) and model_explorer/*.json (node data).
    """
    if schema:
        from toolkit.results import json_schema

        typer.echo(json.dumps(json_schema(), indent=1))
        return
    if run is None:
        raise InputError(
            "which run?", code="usage/invalid", where="toolkit report", hint="toolkit report RUN, or --schema alone"
        )
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
    written = (paths.html, paths.markdown, paths.model_card, paths.trace, *paths.overlays)
    typer.echo("\n".join(str(path) for path in written if path is not None))


def _trends(result: RunResult, database: Path) -> tuple[Trend, ...]:
    """The model's trends up to this result, which need not have been added."""
    from toolkit.history.database import History
    from toolkit.history.trends import up_to

    with History(database) as history:
        return up_to(result, history)
