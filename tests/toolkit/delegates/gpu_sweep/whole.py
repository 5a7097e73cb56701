"""Whole models for the sweep: every module of the zoo, converted by the project, in float32."""

from __future__ import annotations

from collections.abc import Iterator

from converters.errors import ToolError
from tests.converters.chain import build
from tests.model_zoo import CASES


def whole_models() -> Iterator[tuple[str, bytes]]:
    """Name and file of each zoo module that the chain carries."""
    for case in CASES:
        try:
            yield f"zoo {case.id}", build(case.id).tflite()
        except ToolError:
            continue  # what the chain refuses has no file to place
