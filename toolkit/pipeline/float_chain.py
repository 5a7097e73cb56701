"""One part through every float hop: torch, ONNX, rewritten ONNX, Keras, trainable Keras, TFLite; each compared with torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import ParityError
from converters.parity import ParityReport, check, compare, worst
from converters.spec import Interface, Runner
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.sources import SourcePart
from toolkit.recipe.schema import Recipe
from toolkit.results import Parity

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatPart:
    """A part on every side of the chain, proven equal.

    Attributes:
        source: where it came from.
        onnx: rewritten, verified ONNX graph.
        onnx_interface: its layouts.
        relayered: trainable Keras model.
        tflite: float32 flatbuffer.
        reference: torch outputs for every probe.
        parity: one row per hop and output, worst over the probes.
        passes: ``name: n changed`` of every ONNX rewrite.
    """

    source: SourcePart
    onnx: Any
    onnx_interface: Interface
    relayered: RelayeredModel
    tflite: bytes
    reference: tuple[dict[str, np.ndarray], ...]
    parity: tuple[Parity, ...]
    passes: tuple[str, ...]
