"""What every record of a result has in common."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

Fact = str | int | float | bool


def _infinite_is_none(value: Any) -> Any:
    """A bit-identical candidate has no finite signal-to-noise ratio; JSON has no infinity."""
    return None if isinstance(value, float) and math.isinf(value) and value > 0 else value


Decibels = Annotated[float | None, BeforeValidator(_infinite_is_none)]
"""A ratio in dB; ``None`` means that the two signals are bit-identical."""


class Record(BaseModel):
    """Base of every record: unknown fields, NaN and changes after creation are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)
