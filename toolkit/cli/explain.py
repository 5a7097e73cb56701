"""``toolkit explain CODE``: the long text behind an error code."""

from __future__ import annotations

import difflib
from importlib import resources

import typer
import yaml

from converters.errors import InputError


def texts() -> dict[str, str]:
    """Every error code with its explanation."""
    return yaml.safe_load(resources.files("toolkit.cli").joinpath("explanations.yaml").read_text(encoding="utf-8"))


def explain(code: str = typer.Argument("", help="e.g. convert/parity; leave it out to list all codes.")) -> None:
    """Explain an error code: what it means, why it happens, what to do."""
    known = texts()
    if not code:
        for name in sorted(known):
            typer.echo(name)
        return
    if code not in known:
        near = difflib.get_close_matches(code, known, n=3, cutoff=0.3)
        raise InputError(
            f"no error has the code {code!r}",
            code="explain/unknown-code",
            where="toolkit explain",
            hint=f"nearest: {', '.join(near)}" if near else "toolkit explain lists all codes",
        )
    typer.echo(f"{code}\n\n{known[code].strip()}")
