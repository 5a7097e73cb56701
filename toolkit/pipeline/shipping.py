"""From verified float parts to what ships: precision, sparsity, fine-tuning, audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from converters.spec import Interface
from toolkit.data import Manifest
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.float_chain import FloatPart
from toolkit.pipeline.sources import Source
from toolkit.recipe.schema import Recipe
from toolkit.results import PrecisionOp, Sparsity, Tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """One part as it ships.

    Attributes:
        name: part name.
        bucket: static length; 0 without buckets.
        tflite: single-signature flatbuffer.
        interface: its layouts.
        torch_names: layer name to ``<torch module>/<Op>``.
        audit: asked against realised precision of every operator, read back from the flatbuffer.
        sparsity: share of zeros per pruned weight.
        tried: configurations that were tried for this part.
        matched: precision rule to the torch names it matched.
    """

    name: str
    bucket: int
    tflite: bytes
    interface: Interface
    torch_names: dict[str, str]
    audit: tuple[PrecisionOp, ...]
    sparsity: tuple[Sparsity, ...] = ()
    tried: tuple[Tried, ...] = ()
    matched: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """``name`` or ``name@bucket``."""
        return f"{self.name}@{self.bucket}" if self.bucket else self.name


def ship(
    floats: Sequence[FloatPart], source: Source, recipe: Recipe, manifest: Manifest | None, clock: StageClock, resume: Path
) -> list[Shipped]:
    """Compresses every part as the recipe says, in the order of ``floats``."""
    raise NotImplementedError
