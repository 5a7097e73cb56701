"""What every record of a result has in common."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from converters.errors import InputError
from toolkit.whole_file import whole_file

Fact = str | int | float | bool


def _infinite_is_none(value: Any) -> Any:
    """A bit-identical candidate has no finite signal-to-noise ratio; JSON has no infinity."""
    return None if isinstance(value, float) and math.isinf(value) and value > 0 else value


Decibels = Annotated[float | None, BeforeValidator(_infinite_is_none)]
"""A ratio in dB; ``None`` means that the two signals are bit-identical."""


class Record(BaseModel):
    """Base of every record: unknown fields, NaN and changes after creation are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


_Result = TypeVar("_Result", bound=Record)


def to_json(record: Record) -> str:
    """A record as stable, indented JSON."""
    return json.dumps(record.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False) + "\n"


def save_record(record: Record, path: Path) -> None:
    """Writes a record's file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text(to_json(record), encoding="utf-8")


def load_record(kind: type[_Result], path: Path, what: str, hint: str) -> _Result:
    """Reads a record's file.

    Args:
        kind: which record.
        path: its file.
        what: what it should be, for the error: "a search of schema 1".
        hint: what to do about it.

    Raises:
        InputError: the file is missing, damaged, or of another schema version.
    """
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"not {what}: {error}", code="results/unreadable", where=str(path), hint=hint) from error
