"""Exact cross-layer equalisation: channel scales move between layers so that every channel uses its 8 bits.

LeakyReLU and ReLU are positively homogeneous, f(s * x) = s * f(x) for s > 0, and convolutions are linear, so dividing a
stream's channels by positive scales and multiplying the next weights by them changes nothing but the ranges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import frameworks
from converters.spec import Arrays
from toolkit.compress import rewire
from toolkit.compress.calibrate import TensorStatistics, observe_statistics
from toolkit.compress.channel_gains import with_channel_gains
from toolkit.compress.noise_model import TensorNoise, WeightNoise, best_scales, predict
from toolkit.compress.precision import PrecisionPlan
from toolkit.compress.quantised_tensors import quantised_tensors
from toolkit.compress.streams import PINNED, find_streams, is_channel_gain

if TYPE_CHECKING:
    import tf_keras

    from converters.keras_graph.relayer import RelayeredModel

_CUTS = frozenset({"Conv2D", "Conv2DTranspose", "Dense"})
_ENTRY = "/equalise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Equalised:
    """An equalised part.

    Attributes:
        relayered: the part, equal to the one before up to float rounding.
        scales: stream name to its channel scales; stored values are true values divided by these.
        predicted_gain_db: predicted drop of the output noise of 8-bit rounding.
        statistics: what calibration saw, in the new scales, by layer name.
    """

    relayered: RelayeredModel
    scales: dict[str, np.ndarray]
    predicted_gain_db: float
    statistics: dict[str, TensorStatistics]


def equalise(
    relayered: RelayeredModel,
    plan: PrecisionPlan,
    calibration: Sequence[Arrays],
    seed: int = 0,
    *,
    channel_gains: bool = False,
) -> Equalised:
    """Chooses channel scales for the tensors the plan makes 8-bit, and applies them exactly.

    Args:
        relayered: the float part.
        plan: says which tensors and weights will be 8-bit.
        calibration: real inputs in torch's layout.
        seed: of the random projections the sensitivities are estimated with.
        channel_gains: whether gains may be added where 8 bits meet float (`with_channel_gains`).
    """
    widened = _with_entries(relayered)
    if channel_gains:
        widened = with_channel_gains(widened, plan)
    model = widened.model
    streams = find_streams(model)
    rounded = quantised_tensors(model, plan)
    statistics = observe_statistics(widened, calibration, with_gain=True, seed=seed)
    sizes = {
        streams[name]: statistics[name].high.size
        for name in rounded.activations
        if streams[name] != PINNED and name in statistics
    }
    live = {name: stream if stream in sizes else PINNED for name, stream in streams.items()}
    tensors = [_tensor_noise(statistics[name], live[name]) for name in rounded.activations if name in statistics]
    kernels = [
        _weight_noise(layer, statistics, live)
        for layer in map(model.get_layer, rounded.kernels)
        if type(layer).__name__ in _CUTS  # a depthwise convolution's streams are pinned: nothing moves its noise
    ]
    if not sizes:
        return Equalised(relayered=widened, scales={}, predicted_gain_db=0.0, statistics=statistics)
    scales = best_scales(tensors, kernels, sizes)
    ones = {name: np.ones(size) for name, size in sizes.items()}
    gain = 10.0 * float(np.log10(predict(tensors, kernels, ones) / predict(tensors, kernels, scales)))
    _apply_scales(model, live, scales)  # nobody else has this model: `_with_entries` made it
    return Equalised(
        relayered=widened,
        scales=scales,
        predicted_gain_db=gain,
        statistics={name: _rescaled(found, scales.get(live[name])) for name, found in statistics.items()},
    )


def _apply_scales(model: tf_keras.Model, streams: Mapping[str, str], scales: Mapping[str, np.ndarray]) -> None:
    """Divides every stream's channels by its scales, in the model itself; what it computes stays the same."""
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in _CUTS:
            source = scales.get(streams[rewire.producers(layer)[0].name])
            target = scales.get(streams[layer.name])
            _scale_weights(layer, source, target)
        elif is_channel_gain(layer):
            source = scales.get(streams[rewire.producers(layer)[0].name], 1.0)
            constant = layer.get_weights()[0].astype(np.float64)
            layer.set_weights([(constant * source / scales.get(streams[layer.name], 1.0)).astype(np.float32)])


def channel_axes(layer: Any) -> tuple[int, int]:
    """Axes of the input and the output channels in a layer's kernel."""
    rank = len(layer.kernel.shape)
    return (rank - 1, rank - 2) if type(layer).__name__ == "Conv2DTranspose" else (rank - 2, rank - 1)


def _scale_weights(layer: Any, source: np.ndarray | None, target: np.ndarray | None) -> None:
    kernel, *rest = (value.astype(np.float64) for value in layer.get_weights())
    into, out = channel_axes(layer)
    if source is not None:
        kernel = kernel * np.expand_dims(source, [axis for axis in range(kernel.ndim) if axis != into])
    if target is not None:
        kernel = kernel / np.expand_dims(target, [axis for axis in range(kernel.ndim) if axis != out])
        rest = [value / target for value in rest]
    layer.set_weights([value.astype(np.float32) for value in (kernel, *rest)])


def _with_entries(relayered: RelayeredModel) -> RelayeredModel:
    """Puts a per-channel multiplication on every float input of several channels that has none, to scale them by."""
    frameworks.tensorflow()
    from converters.keras_graph.layers import ConstantMath

    entries: dict[str, Any] = {}

    def visit(layer: Any, inputs: list[Any], copy: Any) -> Any:
        sources = rewire.producers(layer)
        for index, source in enumerate(sources):
            shape = tuple(inputs[index].shape)
            if type(source).__name__ != "InputLayer" or len(shape) != 4 or shape[-1] < 2 or is_channel_gain(layer):
                continue
            if source.name not in entries:
                entry = ConstantMath(function="multiply", shape=(shape[-1],), name=f"{source.name}{_ENTRY}")
                entries[source.name] = entry(inputs[index])
                entry.set_weights([np.ones(shape[-1], np.float32)])
            inputs[index] = entries[source.name]
        return rewire.call(copy(), inputs)

    model = rewire.rebuild(relayered.model, visit)
    rewire.copy_weights(relayered.model, model)
    return replace(relayered, model=model)


def _rescaled(statistics: TensorStatistics, scale: np.ndarray | None) -> TensorStatistics:
    if scale is None:
        return statistics
    return TensorStatistics(
        low=statistics.low / scale,
        high=statistics.high / scale,
        power=statistics.power / scale**2,
        gain=statistics.gain * scale**2,
    )


def _tensor_noise(statistics: TensorStatistics, stream: str) -> TensorNoise:
    return TensorNoise(stream=stream, low=statistics.low, high=statistics.high, gain=statistics.gain)


def _weight_noise(layer: Any, statistics: Mapping[str, TensorStatistics], streams: Mapping[str, str]) -> WeightNoise:
    kernel = np.abs(layer.get_weights()[0])
    into, out = channel_axes(layer)
    others = tuple(axis for axis in range(kernel.ndim) if axis not in (into, out))
    peak = kernel.max(axis=others) if others else kernel
    source = rewire.producers(layer)[0].name
    return WeightNoise(
        source=streams[source],
        target=streams[layer.name],
        peak=peak if out < into else peak.T,
        taps=int(np.prod([kernel.shape[axis] for axis in others])) or 1,
        power=statistics[source].power,
        gain=statistics[layer.name].gain,
        per_channel=type(layer).__name__ != "Conv2DTranspose",
    )
