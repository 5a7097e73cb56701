"""``--set a.b=c``: one change of settings that were read from YAML."""

from __future__ import annotations

from typing import Any

import yaml

from toolkit.errors import RecipeError


def apply_change(data: dict[str, Any], change: str) -> None:
    """Makes a ``dotted.key=value`` change; the value is YAML.

    Raises:
        RecipeError: it cannot be read, or leads through something that is no mapping.
    """
    key, separator, value = change.partition("=")
    if not separator or not key:
        raise RecipeError(f"--set wants key=value, found {change!r}", code="recipe/bad-set", hint="e.g. --set seed=7")
    target = data
    *parents, last = key.split(".")
    for step in parents:
        if target.get(step) is None:
            target[step] = {}
        target = target[step]
        if not isinstance(target, dict):
            raise RecipeError(f"--set {key}: {step!r} is not a mapping", code="recipe/bad-set", where=f"--set {change}")
    try:
        target[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {key}: value is not YAML", code="recipe/bad-set", where=f"--set {change}") from error
