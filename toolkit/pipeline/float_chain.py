"""One part through every float hop: torch, ONNX, rewritten ONNX, Keras, trainable Keras, TFLite; each compared with torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.spec import Arrays, Interface, Runner
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.sources import SourcePart
from toolkit.recipe.schema import Recipe

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel


@dataclass(frozen=True, slots=True, kw_only=True)
class HopParity:
    """How one representation agrees with torch on one output, worst over all probes.

    Attributes:
        part: part key.
        hop: ``onnx``, ``rewritten onnx``, ``keras``, ``trainable keras`` or ``tflite float32``.
        tensor: output name.
        max_abs: largest absolute difference.
        snr_db: smallest signal-to-noise ratio.
        cosine: smallest cosine similarity.
        limit_db: what the recipe asks for.
    """

    part: str
    hop: str
    tensor: str
    max_abs: float
    snr_db: float
    cosine: float
    limit_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatPart:
    """A part on every side of the chain, proven equal.

    Attributes:
        source: where it came from.
        onnx: rewritten, verified ONNX graph.
        onnx_interface: its layouts.
        relayered: trainable Keras model.
        tflite: float32 flatbuffer.
        tflite_interface: its layouts.
        reference: torch outputs for every probe.
        parity: one row per hop and output.
        passes: ``(name, changed, skipped)`` of every ONNX rewrite.
    """

    source: SourcePart
    onnx: Any
    onnx_interface: Interface
    relayered: RelayeredModel
    tflite: bytes
    tflite_interface: Interface
    reference: tuple[dict[str, np.ndarray], ...]
    parity: tuple[HopParity, ...]
    passes: tuple[tuple[str, int, tuple[str, ...]], ...] = field(default=())
