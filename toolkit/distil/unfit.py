"""The refusal of a student whose sizes do not go with its teacher's."""

from __future__ import annotations

from toolkit.errors import RecipeError


def unfit(message: str, field: str, hint: str) -> RecipeError:
    """``message`` says which sizes, ``field`` is the setting that is at fault, ``hint`` what to set instead."""
    return RecipeError(message, code="recipe/out-of-range", where=f"distil → {field}", hint=hint)
