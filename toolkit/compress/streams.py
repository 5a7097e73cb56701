"""Which tensors of a part must share channel scales: the streams of equalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.compress import rewire

if TYPE_CHECKING:
    import tf_keras

PINNED = ""
_TIES_ALL = frozenset({"Add", "Subtract", "Maximum", "Minimum", "Average"})
_TIES_ONE = frozenset({"LeakyReLU", "ReLU", "Resize", "ZeroPadding2D", "Dropout", "UpSampling2D", "MaxPooling2D",
                       "AveragePooling2D", "GlobalAveragePooling2D"})  # fmt: skip
_CUTS = frozenset({"Conv2D", "Conv2DTranspose", "Dense"})


def find_streams(model: tf_keras.Model) -> dict[str, str]:
    """Layer name to the stream of its output; ``PINNED`` where a channel scale would change the numbers.

    A stream ends at convolutions and dense layers, whose weights take up the change of scale. Inputs and outputs of the
    part, and whatever meets a function that is not positively homogeneous, are pinned.
    """
    parent = {layer.name: layer.name for layer in model.layers}
    pinned: set[str] = set()

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def tie(*names: str) -> None:
        for other in names[1:]:
            parent[root(other)] = root(names[0])

    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            pinned.add(layer.name)
            continue
        sources = [maker.name for maker in rewire.producers(layer)]
        if (kind in _CUTS and _cuts(layer)) or is_channel_gain(layer):
            continue
        if _ties(layer, kind):
            tie(layer.name, *sources)
        elif kind == "Multiply" and (signal := _masked_signal(layer)) is not None:
            tie(layer.name, sources[signal])
        else:
            pinned.update([layer.name, *sources])
    pinned.update(tensor._keras_history.layer.name for tensor in model.outputs)
    fixed = {root(name) for name in pinned}
    return {name: PINNED if root(name) in fixed else root(name) for name in parent}


def is_channel_gain(layer: Any) -> bool:
    """Whether the layer multiplies each channel by a constant, which can take up any change of scale."""
    return (
        type(layer).__name__ == "ConstantMath"
        and layer.function == "multiply"
        and len(layer.shape) == 1 < layer.shape[0]
    )


def _ties(layer: Any, kind: str) -> bool:
    if kind == "ReLU":
        return layer.max_value is None and not layer.threshold
    if kind == "ConstantMath":
        return (
            layer.function == "multiply" and np.size(layer.get_weights()[0]) == 1 and layer.get_weights()[0].min() > 0
        )
    if kind in _TIES_ALL:
        return len({tuple(t.shape)[-1] for t in rewire.layer_inputs(layer)}) == 1
    if kind == "StridedSlice":
        return layer.parts[-1] == slice(0, None, 1) or layer.parts[-1] == slice(None)
    return kind in _TIES_ONE


def _cuts(layer: Any) -> bool:
    linear = getattr(layer.activation, "__name__", "linear") == "linear"
    return linear and getattr(layer, "groups", 1) == 1


def _masked_signal(layer: Any) -> int | None:
    """Index of the operand with channels, when the other is a mask with one."""
    channels = [tuple(tensor.shape)[-1] for tensor in rewire.layer_inputs(layer)]
    if len(channels) == 2 and channels.count(1) == 1 and max(channels) > 1:
        return channels.index(max(channels))
    return None
