"""Refuses options of a command that do nothing for what it was given."""

from __future__ import annotations

from collections.abc import Mapping

import typer


def refuse_unused(given: Mapping[str, object], what: str) -> None:
    """An option that would be ignored is an error.

    Args:
        given: name of each option without its dashes, to its value; ``None`` was not given.
        what: what they do nothing for.

    Raises:
        typer.BadParameter: one of them was given.
    """
    for name, value in given.items():
        if value is not None:
            raise typer.BadParameter(f"--{name} does nothing for {what}")
