"""Reads recipes: built-in by name, or a YAML file, with ``--set a.b=c`` changes on top."""

from __future__ import annotations

import difflib
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import ValidationError

from toolkit.errors import RecipeError
from toolkit.recipe.changes import apply_change
from toolkit.recipe.schema import Recipe
from toolkit.recipe.stacking import Stack, StackFamily, VoiceStack

_Kind = TypeVar("_Kind", Recipe, Stack, VoiceStack)
_Shelf = Literal["builtin", "stacks"]
_STACKS: dict[StackFamily, type[Stack | VoiceStack]] = {"t2s": Stack, "voice": VoiceStack}
_STACKED: dict[StackFamily, str] = {"t2s": "a GPT checkpoint", "voice": "a voice"}


def builtin_names(shelf: _Shelf = "builtin") -> tuple[str, ...]:
    """Names of the recipes that come with the toolkit: of conversions, or of stacks."""
    entries = resources.files("toolkit.recipe").joinpath(shelf).iterdir()
    return tuple(sorted(e.name.removesuffix(".yaml") for e in entries if e.name.endswith(".yaml")))


def load(name_or_path: str, changes: tuple[str, ...] = ()) -> Recipe:
    """Loads a recipe.

    Args:
        name_or_path: a built-in name or the path of a YAML file.
        changes: ``dotted.key=value`` strings, applied in order; values are YAML.

    Raises:
        RecipeError: no such recipe, not YAML, or a field that the schema does not accept.
    """
    where, data = _changed(name_or_path, changes, "builtin")
    return validate(data, where)


def load_stack(name_or_path: str, changes: tuple[str, ...] = (), *, family: StackFamily = "t2s") -> Stack | VoiceStack:
    """Loads the recipe of a stack; arguments and errors as for `load`.

    Args:
        name_or_path: a built-in name or the path of a YAML file.
        changes: as for `load`.
        family: kind of model that is to be stacked; a recipe for another kind is refused.
    """
    where, data = _changed(name_or_path, changes, "stacks")
    told = data.get("family", "t2s")
    if told in get_args(StackFamily) and told != family:
        raise RecipeError(
            f"it stacks {_STACKED[told]}, and {_STACKED[family]} is given",
            code="recipe/other-family",
            where=where,
            hint=f"built-in stacks: {', '.join(builtin_names('stacks'))}",
        )
    return _validated(_STACKS[family], data, where, "toolkit stack --help")


def _changed(name_or_path: str, changes: tuple[str, ...], shelf: _Shelf) -> tuple[str, dict[str, Any]]:
    where, text = _read(name_or_path, shelf)
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"not YAML: {error}", code="recipe/not-yaml", where=where) from error
    if not isinstance(data, dict):
        raise RecipeError(f"a recipe is a mapping, found {type(data).__name__}", code="recipe/not-yaml", where=where)
    data = _unaliased(data)
    for change in changes:
        apply_change(data, change)
    return where, data


def _unaliased(data: Any) -> Any:
    """A copy in which nothing stands twice: a YAML alias is one object, and a change to it would be one to all."""
    if isinstance(data, dict):
        return {key: _unaliased(value) for key, value in data.items()}
    return [_unaliased(value) for value in data] if isinstance(data, list) else data


def validate(data: dict[str, Any], where: str = "recipe") -> Recipe:
    """Checks ``data`` against the schema; the error names the field by its path."""
    return _validated(Recipe, data, where, "toolkit recipe schema")


def _validated(kind: type[_Kind], data: dict[str, Any], where: str, see: str) -> _Kind:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(step) for step in first["loc"]) or "recipe"
        known = tuple(kind.model_fields) if len(first["loc"]) == 1 else ()
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=2) if known else []
        hint = f"did you mean {' or '.join(near)}?" if near else f"see: {see}"
        found = "" if first["type"] in ("missing", "extra_forbidden") else f" (found {first['input']!r})"
        raise RecipeError(f"{path}: {first['msg']}{found}", where=f"{where} → {path}", hint=hint) from error


def dump(recipe: Recipe | Stack | VoiceStack) -> str:
    """The recipe as YAML with every default written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)


def sha256(recipe: Recipe) -> str:
    """Digest of the recipe's content; the same settings give the same digest however the file was written."""
    canonical = json.dumps(recipe.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _read(name_or_path: str, shelf: _Shelf) -> tuple[str, str]:
    if name_or_path in builtin_names(shelf):
        entry = resources.files("toolkit.recipe").joinpath(shelf, f"{name_or_path}.yaml")
        return f"built-in recipe {name_or_path}", entry.read_text(encoding="utf-8")
    path = Path(name_or_path)
    if not path.is_file():
        raise RecipeError(
            f"no recipe {name_or_path!r}",
            code="recipe/not-found",
            hint=f"built-in recipes: {', '.join(builtin_names(shelf))}; or give the path of a YAML file",
        )
    try:
        return str(path), path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read: {error}", code="recipe/not-yaml", where=str(path)) from error
