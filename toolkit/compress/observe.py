"""Runs a functional Keras model layer by layer with every intermediate value in hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import frameworks
from converters.spec import Arrays, Interface
from toolkit.compress import rewire

if TYPE_CHECKING:
    import tf_keras

Watcher = Callable[[str, Any], Any]
"""``watch(layer_name, value) -> value``: sees every layer's output, and may replace it."""


def run_layers(model: tf_keras.Model, inputs: Sequence[Any], watch: Watcher) -> list[Any]:
    """Outputs of ``model``, computed layer by layer; ``watch`` sees every value, the inputs included."""
    values: dict[tuple[str, int], Any] = {}
    for symbol, value in zip(model.inputs, inputs, strict=True):
        values[rewire.key(symbol)] = watch(rewire.maker(symbol).name, value)
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        results = rewire.call(layer, [values[rewire.key(symbol)] for symbol in rewire.layer_inputs(layer)])
        if isinstance(results, (list, tuple)):
            values.update({(layer.name, index): value for index, value in enumerate(results)})
        else:
            values[(layer.name, 0)] = watch(layer.name, results)
    return [values[rewire.key(symbol)] for symbol in model.outputs]


def target_inputs(interface: Interface, calibration: Sequence[Arrays]) -> Iterator[list[np.ndarray]]:
    """The model's inputs in Keras' layout, in the order of the spec."""
    for arrays in calibration:
        yield [
            interface.layouts[spec.name].to_target(np.asarray(arrays[spec.name], spec.dtype))
            for spec in interface.spec.inputs
        ]


def trainable_copy(model: tf_keras.Model) -> tf_keras.Model:
    """The same model with layers that have gradients on a CPU."""
    frameworks.tensorflow()
    from toolkit.compress.time_phases import trainable_form

    copy = rewire.rebuild(model, lambda layer, inputs, _: rewire.call(trainable_form(layer), inputs))
    rewire.copy_weights(model, copy)
    return copy
