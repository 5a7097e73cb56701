"""What a user asks for: a device, a size, a latency. From the command line or a short YAML file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from toolkit.errors import SearchError

_UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_TIMES_MS = {"us": 1e-3, "ms": 1.0, "s": 1000.0}
_QUANTITY = re.compile(r"^\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-zµ]*)\s*$")


def parse_size(value: Any) -> Any:
    """``80MB`` to bytes; a bare number is bytes. MB is 1000 x 1000, MiB is 1024 x 1024."""
    return _quantity(value, _UNITS, "80MB, 512kB, 76.3MiB")


def parse_time(value: Any) -> Any:
    """``1s`` or ``800ms`` to milliseconds; a bare number would be a guess and is refused."""
    return _quantity(value, _TIMES_MS, "1s, 800ms")


def _quantity(value: Any, units: dict[str, float], examples: str) -> Any:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ValueError(f"write it like {examples}")
    match = _QUANTITY.match(str(value))
    unit = match["unit"].lower().replace("µ", "u") if match else None
    if match is None or unit not in units:
        raise ValueError(f"write it like {examples}")
    return float(match["number"]) * units[unit]


Bytes = Annotated[PositiveFloat, BeforeValidator(parse_size)]
Milliseconds = Annotated[PositiveFloat, BeforeValidator(parse_time)]


class Intent(BaseModel):
    """A version of a model that fits a device; everything the search needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(min_length=1, description="device the latency is estimated for, e.g. snapdragon-7-gen-3")
    max_size: Bytes | None = Field(None, description="whole bundle, e.g. 80MB")
    max_latency: Milliseconds | None = Field(None, description="one sentence or run, estimated, e.g. 1s")
    size_of: Literal["disk", "download"] = Field(
        "disk", description="disk: the files; download: each file compressed, which alone pruning makes smaller"
    )
    quality: dict[str, float] = Field(
        default_factory=dict,
        description="limits instead of the recipe's: speaker_cosine_min, mos_drop_mean_max, mos_drop_worst_max (of the "
        "decoder), whole_speaker_cosine_min, whole_mos_drop_mean_max (of the whole voice), output_snr_db_min",
    )
    protect: tuple[str, ...] = Field(
        ("flow",), description="parts that are never pruned and never below float16, as their errors are heard"
    )
    trials: PositiveInt = Field(24, description="versions tried at most")
    utterances: int = Field(4, ge=0, description="held-out sentences every version is judged on; the best one on all")
    finetune_steps: tuple[int, ...] = Field((), description="fine-tuning steps to choose from; each costs its time")
    students: tuple[str, ...] = Field(
        (),
        description="files of students that were distilled from the model before, each an alternative to it; their "
        "quality is measured against the model given",
    )
    prune_ratios: tuple[Annotated[float, Field(ge=0.0, lt=1.0)], ...] = Field(
        (), description="GPT checkpoint: shares of the feed-forward channels to take out, to choose from"
    )
    data: str = Field("", description="GPT checkpoint: corpus that pruned models are trained on and all are judged on")
    seed: int = 0

    @property
    def limits(self) -> dict[str, float]:
        """Gates of a recipe that hold a version to the intent."""
        found = dict(self.quality)
        if self.max_size is not None:
            found["total_bytes_max" if self.size_of == "disk" else "compressed_bytes_max"] = int(self.max_size)
        if self.max_latency is not None:
            found["estimated_latency_ms_max"] = self.max_latency
        return found


QUALITY_LIMITS = (
    "speaker_cosine_min",
    "mos_drop_mean_max",
    "mos_drop_worst_max",
    "whole_speaker_cosine_min",
    "whole_mos_drop_mean_max",
    "output_snr_db_min",
)
"""Gates an intent may set, and those of a base recipe that stay in force during a search."""


def read_intent(path: Path | None, given: dict[str, Any]) -> Intent:
    """The intent of a file with what was given on the command line on top.

    Raises:
        SearchError: the file cannot be read, a field is wrong, or nothing is asked for.
    """
    data: Any = {}
    if path is not None:
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise SearchError(f"cannot read the intent: {error}", code="search/intent", where=str(path)) from error
        if not isinstance(data, dict):
            raise SearchError(
                f"an intent is a mapping, found {type(data).__name__}", code="search/intent", where=str(path),
                hint="e.g. device: snapdragon-7-gen-3, then max_size: 80MB and max_latency: 1s",
            )  # fmt: skip
    where = str(path) if path is not None else "command line"
    try:
        intent = Intent.model_validate({**data, **given})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"])
        hint = f"fields: {', '.join(Intent.model_fields)}" if first["type"] == "extra_forbidden" else ""
        if field == "device":
            hint = "latency is estimated for a device: --device snapdragon-7-gen-3"
        message = f"{field}: {first['msg'].removeprefix('Value error, ')}"
        raise SearchError(message, code="search/intent", where=where, hint=hint) from error
    unknown = sorted(set(intent.quality) - set(QUALITY_LIMITS))
    if unknown:
        raise SearchError(
            f"quality: no limit is called {unknown[0]!r}",
            code="search/intent",
            where=where,
            hint=f"one of: {', '.join(QUALITY_LIMITS)}",
        )
    if intent.max_size is None and intent.max_latency is None:
        raise SearchError(
            "neither a size nor a latency is asked for",
            code="search/intent",
            where=where,
            hint="give max_size, max_latency or both; --device alone converts once and estimates",
        )
    return intent
