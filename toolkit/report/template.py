"""Fills the page templates, which carry their own style."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


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
