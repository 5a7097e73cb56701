"""Which layers of a file lose quality: every tensor it computes against its layer in float.

Two numbers for each tensor. What has gathered on the way: the file's value against the float model's on the same input.
What the layer itself adds: the file's value against the float layer's on the very values the file fed it, so that the
loss of the layers before it is none of its own. Source of the method: TensorFlow's quantisation debugger, which
compares layer by layer in the same two ways (tensorflow.org/lite/performance/quantization_debugger); here the float
side is the trainable model the file was made of, so that the names are torch's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.spec import Arrays
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import PreservedRun, run_preserving
from toolkit.compress import rewire
from toolkit.compress.audit import LayerTensor, layer_tensors
from toolkit.compress.observe import target_inputs

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel
    from toolkit.compress.precision import PrecisionPlan

LARGEST_BYTES = 2**30
"""A file whose tensors are larger together is not looked into: all of them are in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerError:
    """One tensor the file computes.

    Attributes:
        index: its place among them, in execution order.
        node: torch name of the layer whose value it is, ``<module path>/<Op>``, and of those merged into its operator.
        precision: what the operator computes in, read back from the file.
        snr_db: float value over the error that has gathered on the way here; infinite when there is none.
        own_snr_db: float value over the error that this tensor's operator adds.
    """

    index: int
    node: str
    precision: str
    snr_db: float
    own_snr_db: float


@dataclass(slots=True)
class _Sums:
    """Powers over all inputs."""

    signal: float = 0.0
    gathered: float = 0.0
    fed_signal: float = 0.0
    own: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    """A layer's value in float, in float on what the file computed before it, and in the file."""

    exact: np.ndarray
    fed: np.ndarray
    shipped: np.ndarray


def tensor_bytes(content: bytes) -> int:
    """Memory for all tensors a file computes, none of them reused."""
    graph = read_tflite(content)
    size = {"FLOAT32": 4, "INT32": 4, "INT64": 8, "FLOAT64": 8, "INT16": 2, "FLOAT16": 2}
    computed = (graph.tensors[index] for op in graph.ops for index in op.outputs)
    return sum(size.get(tensor.dtype, 1) * math.prod(tensor.shape) for tensor in computed)


def layer_errors(
    content: bytes, relayered: RelayeredModel, plan: PrecisionPlan, inputs: Sequence[Arrays]
) -> tuple[LayerError, ...]:
    """Compares what a file computes with its layers in float.

    Args:
        content: the file.
        relayered: float weights the file was made of, after equalisation and training: the loss is rounding's alone.
        plan: asked precision per layer of ``relayered``.
        inputs: in torch's layout; powers are summed over all of them.

    Returns:
        One row for each tensor that is the value of a layer, in execution order. Layers merged into others have none;
        their loss is the other's own. Layers of several outputs have none.
    """
    sums: dict[str, _Sums] = {}
    tensors = layer_tensors(content, plan, [layer.name for layer in relayered.model.layers])
    for arrays, fed in zip(inputs, target_inputs(relayered.interface, inputs), strict=True):
        ran = run_preserving(content, relayered.interface, arrays)
        for layer, values in _walk(relayered.model, fed, ran, tensors):
            mine = sums.setdefault(layer, _Sums())
            mine.signal += _power(values.exact)
            mine.gathered += _power(values.shipped - values.exact)
            mine.fed_signal += _power(values.fed)
            mine.own += _power(values.shipped - values.fed)
    asked = plan.by_layer()
    return tuple(
        LayerError(
            index=index,
            node=" + ".join(relayered.torch_names.get(name, asked[name].node) for name in tensors[layer].merged),
            precision=tensors[layer].realised,
            snr_db=_decibels(mine.signal, mine.gathered),
            own_snr_db=_decibels(mine.fed_signal, mine.own),
        )
        for index, (layer, mine) in enumerate(sums.items())
    )


def _walk(
    model: Any, inputs: Sequence[np.ndarray], ran: PreservedRun, tensors: Mapping[str, LayerTensor]
) -> Iterator[tuple[str, _Values]]:
    """Layers that have a tensor, with its three values; what is read no more is let go."""
    layers = rewire.computing_layers(model)
    readers = Counter(rewire.key(symbol) for layer in layers for symbol in rewire.layer_inputs(layer))
    after = _only_readers(layers, readers, tensors)
    exact: dict[tuple[str, int], Any] = {}
    for symbol, value in zip(model.inputs, inputs, strict=True):
        exact[rewire.key(symbol)] = value
    fed = dict(exact)
    taken: dict[str, np.ndarray] = {}
    for layer in layers:
        keys = [rewire.key(symbol) for symbol in rewire.layer_inputs(layer)]
        for values in (exact, fed):
            results = rewire.call(layer, [values[key] for key in keys])
            found = list(results) if isinstance(results, (list, tuple)) else [results]
            values.update({(layer.name, index): value for index, value in enumerate(found)})
        name = (layer.name, 0)
        if layer.name in taken:
            fed[name] = taken.pop(layer.name)
        elif layer.name in tensors and len(found) == 1 and not _lacks_bias(layer, tensors[layer.name]):
            best = _best(layer, after, (exact, fed), ran.value(tensors[layer.name].index))
            if best is not None:
                owner, values = best
                yield layer.name, values
                if owner == layer.name:
                    fed[name] = values.shipped
                else:
                    taken[owner] = values.shipped
        for key in keys:
            readers[key] -= 1
            if not readers[key]:
                exact.pop(key, None)
                fed.pop(key, None)


def _lacks_bias(layer: Any, tensor: LayerTensor) -> bool:
    return tensor.is_partial and bool(getattr(layer, "use_bias", False))


def _only_readers(
    layers: Sequence[Any], readers: Mapping[tuple[str, int], int], tensors: Mapping[str, LayerTensor]
) -> dict[str, Any]:
    """By layer name, the layer that alone reads it and has no tensor: its operator was merged into a neighbour."""
    found = {}
    for layer in layers:
        if layer.name in tensors:
            continue
        for symbol in rewire.layer_inputs(layer):
            if readers[rewire.key(symbol)] == 1:
                found[rewire.maker(symbol).name] = layer
    return found


def _best(
    layer: Any, after: Mapping[str, Any], sides: tuple[dict[tuple[str, int], Any], ...], shipped: np.ndarray
) -> tuple[str, _Values] | None:
    """The layer whose value a tensor is, and its values; ``None`` where none has the tensor's shape.

    The converter folds what follows a matrix (a scale, an activation, a mask) into its operator and does not name it.
    Of the layer and of those that follow it without a tensor of their own, the one that is nearest is meant.
    """
    best: tuple[float, str, _Values] | None = None
    values = [side[layer.name, 0] for side in sides]
    while True:
        exact, fed = (np.asarray(value) for value in values)
        # Other extents: the operator swallowed a transposition, or padded first.
        if _extents(shipped) == _extents(exact):
            held = _Values(exact=exact, fed=fed, shipped=shipped.reshape(exact.shape).astype(exact.dtype))
            distance = _power(held.shipped - held.fed) / max(_power(held.fed), 1e-30)
            if best is None or distance < best[0]:
                best = distance, layer.name, held
        follower = after.get(layer.name)
        if follower is None:
            break
        keys = [rewire.key(symbol) for symbol in rewire.layer_inputs(follower)]
        if any(key not in side for key in keys if key != (layer.name, 0) for side in sides):
            break
        values = [
            rewire.call(follower, [value if key == (layer.name, 0) else side[key] for key in keys])
            for value, side in zip(values, sides, strict=True)
        ]
        if isinstance(values[0], (list, tuple)):
            break
        layer = follower
    return None if best is None else best[1:]


def _extents(array: np.ndarray) -> tuple[int, ...]:
    return tuple(size for size in array.shape if size != 1)


def _power(array: np.ndarray) -> float:
    return float(np.square(array, dtype=np.float64).sum())


def _decibels(signal: float, noise: float) -> float:
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(max(signal, 1e-30) / noise)
