"""``toolkit compare RUN_A RUN_B``: what differs beyond noise."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from toolkit.bench.compare import Comparison, Difference

_MARKS = {"better": "+ better", "worse": "- WORSE", "same": ""}


def compare(
    first: Path = typer.Argument(metavar="RUN_A", help="The baseline: a run directory or its results.json."),
    second: Path = typer.Argument(metavar="RUN_B", help="What is held against it."),
    as_json: bool = typer.Option(False, "--json", help="JSON instead of text."),
) -> int:
    """Compare two results; only differences beyond noise are marked. The exit code is 0 whatever they are."""
    from toolkit.bench.compare import compare as compared
    from toolkit.results import load

    found = compared(*(load(path / "results.json" if path.is_dir() else path) for path in (first, second)))
    if as_json:
        rows = [{**asdict(each), "significant": each.significant} for each in found.differences]
        typer.echo(json.dumps({"a": str(first), "b": str(second), "differences": rows, "notes": found.notes}, indent=1))
    else:
        typer.echo(_text(found, first, second))
    return 0


def _text(found: Comparison, first: Path, second: Path) -> str:
    from toolkit.report.format import quantity

    lines = [f"A  {first}", f"B  {second}", ""]
    width = max((len(each.name) for each in found.differences), default=10)
    for kind in dict.fromkeys(each.kind for each in found.differences):
        lines.append(kind)
        for each in found.differences:
            if each.kind != kind:
                continue
            a, b = quantity(each.a, each.unit), quantity(each.b, each.unit)
            lines.append(f"  {each.name:<{width}}  {a:>12}  {b:>12}  {_change(each):>24}  {_mark(each)}".rstrip())
        known = (e.how for e in found.differences if e.kind == kind and e.verdict != "not comparable")
        lines += [f"    ({how})" for how in dict.fromkeys(known)]
    significant = sum(each.significant for each in found.differences)
    lines += [f"note: {note}" for note in found.notes]
    lines.append(f"{significant} of {len(found.differences)} quantities differ beyond noise")
    return "\n".join(lines)


def _mark(each: Difference) -> str:
    """The verdict; where there is none, why: the first reason of several (--json has all)."""
    if each.verdict != "not comparable":
        return _MARKS[each.verdict]
    first, *more = each.how.split("; ")
    return f"? not comparable: {first}" + (f" (and {len(more)} more)" if more else "")


def _change(each: Difference) -> str:
    if each.change is None:
        return ""
    sign = "+" if each.kind == "quality" else ""
    words = f"{each.change:{sign}.3f}"
    if each.low is None or each.high is None or each.low == each.high:
        return words
    return f"{words} [{each.low:{sign}.3f}, {each.high:{sign}.3f}]"
