"""``toolkit history``: results over time."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer

app = typer.Typer(help="Results over time: add runs, list them, show trends.", no_args_is_help=True)

_DATABASE = Path("history.sqlite3")
_SHOWN = 6


@app.command()
def add(
    runs: list[Path] = typer.Argument(metavar="RUN...", help="Run directories, or their results.json."),
    database: Path = typer.Option(_DATABASE, help="The history; made if it is not there."),
) -> None:
    """Add results; one that is there already changes nothing."""
    from toolkit.history.database import History
    from toolkit.results import load

    results = [(path, load(path / "results.json" if path.is_dir() else path)) for path in runs]
    with History(database, create=True) as history:
        for path, result in results:
            typer.echo(f"{history.add(result):<10}{result.run.model}  {path}")


@app.command("list")
def list_runs(
    database: Path = typer.Option(_DATABASE, help="The history."),
    as_json: bool = typer.Option(False, "--json", help="JSON instead of text."),
) -> None:
    """List every result."""
    from toolkit.history.database import History

    with History(database) as history:
        found = history.entries()
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in found], ensure_ascii=False, indent=1))
        return
    gates = {True: "PASS", False: "FAIL", None: "not judged"}
    width = max((len(entry.model) for entry in found), default=0) + 2
    for entry in found:
        valid = "VALID" if entry.valid else "INVALID"
        typer.echo(f"{entry.model:<{width}}{entry.started:<27}{gates[entry.passed]:<12}{valid:<9}{entry.sha256[:12]}")
    typer.echo(f"{len(found)} result(s) in {database}")


@app.command()
def show(
    name: str = typer.Argument(help="Model, as `history list` shows it."),
    database: Path = typer.Option(_DATABASE, help="The history."),
    as_json: bool = typer.Option(False, "--json", help="JSON instead of text."),
) -> None:
    """Show each part's quantities over time, oldest first; a change beyond noise is marked."""
    from toolkit.history.database import History
    from toolkit.history.judgement import judged
    from toolkit.report.format import quantity

    with History(database) as history:
        trends = history.trends(name)
    if as_json:
        rows = [{**t.model_dump(mode="json"), "last_change": judged(t)} for t in trends]
        typer.echo(json.dumps({"model": name, "trends": rows}, ensure_ascii=False, indent=1))
        return
    part = None
    for trend in trends:
        if trend.part != part:
            part = trend.part
            typer.echo(part)
        cut = "… " if len(trend.points) > _SHOWN else ""
        values = [quantity(p.value, trend.unit) + ("" if p.valid else " (INVALID)") for p in trend.points[-_SHOWN:]]
        verdict = judged(trend)
        mark = {"better": "  + better", "worse": "  - WORSE"}.get(verdict, "")
        typer.echo(f"  {trend.metric}: {cut}{' → '.join(values)}{mark}")
        if trend.where:
            typer.echo(f"    on {trend.where}")
    typer.echo(f"{len(trends)} quantities of {name}; a mark says that the last value differs from the one before")
