"""Duration predictors as the host calls them: a stochastic one as a small ONNX graph, a deterministic one as a runner.

The stochastic one's spline flows use data-dependent gathers that no mobile delegate takes, and it costs next to
nothing, so it stays outside the converted graphs. Weights are stored as float16 with a cast in front: half the size,
the same graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from converters import frameworks
from converters.errors import InputError
from converters.spec import Runner

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

    @property
    def weights(self) -> int:
        """How many numbers its graph holds."""
        graph = frameworks.onnx().load_model_from_string(self.model).graph
        return sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)

    def log_durations(self, x: np.ndarray, mask: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """See ``DurationPredictor``."""
        if not self._session:
            self._session.append(_session(self.model))
        feeds = dict(zip(INPUT_NAMES, (x, mask, noise), strict=True))
        (result,) = self._session[0].run([OUTPUT_NAME], {k: v.astype(np.float32) for k, v in feeds.items()})
        return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphDurations:
    """A deterministic predictor: one of the voice's graphs. The noise it is offered changes nothing.

    Attributes:
        runners: the graph per bucket of phonemes; inputs ``x`` and ``mask``, output ``log_durations``.
    """

    runners: Mapping[int, Runner] = field(repr=False)

    def log_durations(self, x: np.ndarray, mask: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """See ``DurationPredictor``.

        Raises:
            InputError: no graph is loaded, or none is long enough.
        """
        phonemes = x.shape[-1]
        bucket = min((each for each in self.runners if each >= phonemes), default=None)
        if bucket is None:
            raise InputError(
                f"durations of {phonemes} phoneme ids; at most {max(self.runners, default=0)} fit",
                code="input/sentence-length",
                where="durations",
                hint="split the text into shorter sentences, or convert with a larger phoneme bucket",
            )
        after = [(0, 0), (0, 0), (0, bucket - phonemes)]
        feeds = {"x": np.pad(x, after).astype(np.float32), "mask": np.pad(mask, after).astype(np.float32)}
        return np.asarray(self.runners[bucket](feeds)[OUTPUT_NAME])[..., :phonemes]


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
