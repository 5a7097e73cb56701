"""Fills the page templates, which carry their own style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from toolkit.whole_file import whole_file


def filled_template(name: str, page: Any) -> str:
    """A page as text.

    Args:
        name: file in ``templates``.
        page: what it shows, under that name.
    """
    loader = PackageLoader("toolkit.report", "templates")
    environment = Environment(
        loader=loader,
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, _, _ = loader.get_source(environment, "style.css")
    return environment.get_template(name).render(page=page, style=style)


def write_page(text: str, directory: Path) -> Path:
    """Writes ``index.html`` whole or not at all; returns its path."""
    page = directory / "index.html"
    with whole_file(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page
