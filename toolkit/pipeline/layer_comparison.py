"""Tensor by tensor: which layers of a shipped part lose quality, for the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters.spec import Arrays
from toolkit.pipeline.events import StageClock
from toolkit.results import TensorError

if TYPE_CHECKING:
    from toolkit.compress.run import CompressedPart


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedLayers:
    """What was found of one part.

    Attributes:
        rows: one for each layer's tensor whose operator adds an error, in execution order; the others hand on the
            error of what they read.
        missing: why there are none; empty where there are.
    """

    rows: tuple[TensorError, ...] = ()
    missing: str = ""


def compare_layers(
    key: str, content: bytes, compressed: CompressedPart, inputs: Sequence[Arrays], what: str, clock: StageClock
) -> ComparedLayers:
    """Holds every tensor a part's file computes against its layer in float.

    Args:
        key: of the part, for the report.
        content: the file as it ships.
        compressed: float weights and precisions it was made of.
        inputs: in torch's layout, a few.
        what: what they are, e.g. ``2 held-out sentences``.
        clock: told about it.
    """
    from toolkit.compress.layer_errors import LARGEST_BYTES, layer_errors, tensor_bytes

    with clock.stage(f"{key}: layers against float") as stage:
        needed = tensor_bytes(content)
        if needed > LARGEST_BYTES:
            missing = f"{key}: all its tensors together take {needed / 2**30:.1f} GiB, over {LARGEST_BYTES / 2**30:.0f}"
            stage.fact = f"not compared: {missing}"
            return ComparedLayers(missing=missing)
        found = layer_errors(content, compressed.relayered, compressed.plan, inputs)
        rows = tuple(
            TensorError(
                part=key,
                index=error.index,
                name=error.node,
                snr_db=error.snr_db,
                own_snr_db=error.own_snr_db,
                precision=error.precision,
                inputs=what,
            )
            for error in found
            if math.isfinite(error.own_snr_db)
        )
        if not found:
            return ComparedLayers(missing=f"{key}: no tensor of the file could be traced to a layer")
        stage.fact = f"{len(found)} tensors, {len(rows)} with an error of their own"
        if rows:
            worst = min(found, key=lambda error: error.own_snr_db)
            stage.fact += f"; {worst.node} loses most, {worst.own_snr_db:.1f} dB"
        return ComparedLayers(rows=rows)


def not_compared(parts: Sequence[ComparedLayers]) -> dict[str, str]:
    """Why parts were not compared, as a result says it."""
    reasons = [part.missing for part in parts if part.missing]
    return {"tensor_errors": "; ".join(reasons)} if reasons else {}
