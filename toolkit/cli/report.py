"""``toolkit report``: renders a run's results again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from toolkit.results import RunResult, Trend


def report(
    run: Path = typer.Argument(help="Run directory or its results.json."),
    history: Path | None = typer.Option(None, help="History database: earlier results of the model in section 9."),
) -> None:
    """Render index.html and report.md from a run's results.json."""
    from toolkit.report import write_report
    from toolkit.results import load

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
