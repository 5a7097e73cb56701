"""The duration predictor as a small ONNX graph of its own, run on the host.

Its spline flows use data-dependent gathers that no mobile delegate takes, and it costs next to nothing, so it stays
outside the converted graphs. Weights are stored as float16 with a cast in front: half the size, the same graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from converters import frameworks

if TYPE_CHECKING:
    import onnx

INPUT_NAMES = ("x", "mask", "noise")
OUTPUT_NAME = "log_durations"


class DurationPredictor(Protocol):
    """Log durations of phonemes."""

    def log_durations(self, x: np.ndarray, mask: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Predicts.

        Args:
            x: encoder output ``[1, hidden, phonemes]``.
            mask: ``[1, 1, phonemes]``.
            noise: normal noise already scaled, ``[1, 2, phonemes]``.

        Returns:
            Natural log of frames, ``[1, 1, phonemes]``.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxDurations:
    """A duration predictor held as ONNX bytes.

    Attributes:
        model: serialised ONNX graph: inputs ``x``, ``mask``, ``noise``; output ``log_durations``.
    """

    model: bytes = field(repr=False)
    _session: list[Any] = field(default_factory=list, repr=False, init=False)

    def log_durations(self, x: np.ndarray, mask: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """See ``DurationPredictor``."""
        if not self._session:
            self._session.append(_session(self.model))
        feeds = dict(zip(INPUT_NAMES, (x, mask, noise), strict=True))
        (result,) = self._session[0].run([OUTPUT_NAME], {k: v.astype(np.float32) for k, v in feeds.items()})
        return result


def _session(model: bytes) -> Any:
    onnxruntime = frameworks.onnxruntime()
    options = onnxruntime.SessionOptions()
    # One thread: float sums in one order, so durations are the same on every run and machine load.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def store_half(model: onnx.ModelProto, min_elements: int = 64) -> onnx.ModelProto:
    """The same graph with float32 weights of at least ``min_elements`` stored as float16 and cast back.

    Values that float16 cannot hold to within its rounding (overflow) stay float32.
    """
    onnx = frameworks.onnx()
    kept, casts = [], []
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        fits = array.dtype == np.float32 and array.size >= min_elements and np.abs(array).max(initial=0.0) < 65504.0
        if not fits:
            kept.append(tensor)
            continue
        half = f"{tensor.name}h"
        kept.append(onnx.numpy_helper.from_array(array.astype(np.float16), half))
        casts.append(onnx.helper.make_node("Cast", [half], [tensor.name], to=onnx.TensorProto.FLOAT))
    stored = onnx.ModelProto()
    stored.CopyFrom(model)
    nodes = list(model.graph.node)
    del stored.graph.initializer[:], stored.graph.node[:]
    stored.graph.initializer.extend(kept)
    stored.graph.node.extend([*casts, *nodes])
    return stored
