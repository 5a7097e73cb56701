"""Runs Keras models on arrays in torch's layout, for parity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from converters import frameworks
from converters.errors import InputError
from converters.spec import Arrays, Interface, Runner

if TYPE_CHECKING:
    import tf_keras


def keras_runner(model: tf_keras.Model, interface: Interface) -> Runner:
    """A runner of ``model``; its inputs and outputs are in the order of the spec, in the layouts of ``interface``.

    Operator by operator: a traced function would hold a copy of every constant, several times over while it is
    optimised, and take longer to make than the few runs take.
    """
    tf = frameworks.tensorflow()

    def run(arrays: Arrays) -> dict[str, np.ndarray]:
        arguments = [tf.constant(array) for array in _arguments(interface, arrays)]
        results = model(arguments if len(arguments) > 1 else arguments[0])
        results = results if isinstance(results, (list, tuple)) else [results]
        return {
            tensor.name: interface.layouts[tensor.name].to_torch(np.asarray(result))
            for tensor, result in zip(interface.spec.outputs, results, strict=True)
        }

    return run


def keras_intermediates(
    model: tf_keras.Model, interface: Interface, arrays: Arrays, layer_names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Outputs of the named layers, in Keras' layout (channels-last).

    Raises:
        InputError: the model has no such layer.
    """
    keras = frameworks.tf_keras()
    known = {layer.name: layer for layer in model.layers}
    missing = [name for name in layer_names if name not in known]
    if missing:
        raise InputError(f"the Keras model has no layer {missing[0]!r}", where=interface.spec.name)
    tensors = [known[name].output for name in layer_names]
    probe = keras.Model(inputs=model.inputs, outputs=[t[0] if isinstance(t, (list, tuple)) else t for t in tensors])
    arguments = _arguments(interface, arrays)
    results = probe(arguments if len(arguments) > 1 else arguments[0])
    results = results if isinstance(results, (list, tuple)) else [results]
    return {name: np.asarray(result) for name, result in zip(layer_names, results, strict=True)}


def _arguments(interface: Interface, arrays: Arrays) -> list[np.ndarray]:
    arguments = []
    for tensor in interface.spec.inputs:
        if tensor.name not in arrays:
            raise InputError(f"input {tensor.name!r} is missing", where=interface.spec.name)
        array = np.asarray(arrays[tensor.name], tensor.dtype)
        if array.shape != tensor.shape:
            raise InputError(
                f"input {tensor.name!r} has the shape {array.shape}, not {tensor.shape}", where=interface.spec.name
            )
        arguments.append(interface.layouts[tensor.name].to_target(array))
    return arguments
