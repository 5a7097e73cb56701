"""Globs over torch names: how rules of a recipe point at operators."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase

from toolkit.errors import RecipeError

_NEAREST = 4


def torch_path(node: str) -> str:
    """The torch module path of an operator named ``<torch module path>/<Op>``."""
    return node.partition("/")[0] or node


def matches(pattern: str, node: str) -> bool:
    """Whether a glob matches the module path (``dec.conv_pre``) or the whole name (``dec/Add_1``); case matters."""
    return fnmatchcase(torch_path(node), pattern) or fnmatchcase(node, pattern)


def may_match(pattern: str, path: str) -> bool:
    """Whether a glob matches a module path, or could match some operator ``<path>/<Op>`` below it.

    Operators are known only once the module is exported, and get other names while it is rewritten. A glob matches one
    of them if a beginning of it matches ``<path>/``: what is left then has the operator's name to match, and a ``*``
    may be in both halves. Paths of foreign graphs have slashes of their own; `torch_path` of their operators ends at
    the first.
    """
    if fnmatchcase(torch_path(path), pattern):
        return True
    heads = (pattern[: at + (pattern[at : at + 1] == "*")] for at in range(len(pattern) + 1))
    return any(fnmatchcase(f"{path}/", head) for head in heads)


def refuse_hopeless(pattern: str, paths: Iterable[str], *, where: str, what: str = "rule") -> None:
    """Refuses a glob that no operator below these module paths can match: before the work, not after it.

    Raises:
        RecipeError: as `select` does.
    """
    known = list(dict.fromkeys(paths))
    if not any(may_match(pattern, path) for path in known):
        raise _unmatched(pattern, known, where, what)


def select(pattern: str, nodes: Iterable[str], *, where: str, what: str = "rule") -> tuple[str, ...]:
    """The operators a glob matches, in order.

    Raises:
        RecipeError: it matches none; the hint has the names most like it.
    """
    known = list(dict.fromkeys(nodes))
    found = tuple(node for node in known if matches(pattern, node))
    if not found:
        raise _unmatched(pattern, known, where, what)
    return found


def _unmatched(pattern: str, known: Iterable[str], where: str, what: str) -> RecipeError:
    return RecipeError(
        f"the {what} {pattern!r} matches no operator",
        code="recipe/rule-matches-nothing",
        where=where,
        hint=f"the nearest names are {', '.join(nearest(pattern, known)) or 'none: the part has no operators'}",
    )


def nearest(pattern: str, nodes: Iterable[str]) -> list[str]:
    """The module paths and operator names most like ``pattern``, best first."""
    known = list(nodes)
    names = sorted({torch_path(node) for node in known} | set(known))
    return difflib.get_close_matches(pattern, names, n=_NEAREST, cutoff=0.0)
