"""Rebuilds a functional Keras model layer by layer, letting a visitor replace, drop or wrap what it meets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from converters import frameworks

if TYPE_CHECKING:
    import tf_keras

Visitor = Callable[[Any, list[Any], Callable[[], Any]], Any]
"""``visit(layer, inputs, copy)``: the layer met, its inputs in the new model, and how to get an equal new layer.
Returns the new output tensor(s)."""


def rebuild(
    model: tf_keras.Model, visit: Visitor, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> tf_keras.Model:
    """A new functional model with the visitor's output in place of every layer; inputs keep their names.

    Weights are not copied: pair layers by name with ``copy_weights`` (the visitor may change their number).

    Args:
        model: functional model.
        visit: what becomes of each layer.
        shapes: other static shapes for inputs, batch included, by input name.
    """
    keras = frameworks.tf_keras()
    tensors: dict[tuple[str, int], Any] = {}
    inputs = []
    for tensor in model.inputs:
        name = maker(tensor).name
        shape = (shapes or {}).get(name, tuple(tensor.shape))
        new = keras.Input(batch_size=shape[0], shape=shape[1:], dtype=tensor.dtype, name=name)
        tensors[key(tensor)] = new
        inputs.append(new)
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        results = visit(layer, [tensors[key(t)] for t in layer_inputs(layer)], lambda layer=layer: clone(layer))
        for index, tensor in enumerate(results if isinstance(results, (list, tuple)) else [results]):
            tensors[(layer.name, index)] = tensor
    outputs = [tensors[key(tensor)] for tensor in model.outputs]
    return keras.Model(inputs=inputs, outputs=outputs, name=model.name)


def clone(layer: Any) -> Any:
    """A new layer of the same configuration, without the weights."""
    return type(layer).from_config(layer.get_config())


def call(layer: Any, inputs: Sequence[Any]) -> Any:
    """Calls a layer on one tensor or on a list, as Keras' merging layers want it."""
    return layer(list(inputs) if len(inputs) > 1 else inputs[0])


def layer_inputs(layer: Any) -> list[Any]:
    """Symbolic inputs of a layer, in order."""
    found = layer.input
    return list(found) if isinstance(found, (list, tuple)) else [found]


def producers(layer: Any) -> list[Any]:
    """Layers whose outputs ``layer`` reads, in order."""
    return [maker(tensor) for tensor in layer_inputs(layer)]


def consumers(model: tf_keras.Model) -> dict[str, list[Any]]:
    """Layer name to the layers that read it."""
    found: dict[str, list[Any]] = {layer.name: [] for layer in model.layers}
    for layer in model.layers:
        if type(layer).__name__ != "InputLayer":
            for producer in producers(layer):
                found[producer.name].append(layer)
    return found


def copy_weights(source: tf_keras.Model, target: tf_keras.Model) -> None:
    """Gives layers of ``target`` the weights of the layers of the same name in ``source``, where both have any."""
    known = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        if layer.name in known and layer.weights:
            layer.set_weights(known[layer.name].get_weights())


def maker(tensor: Any) -> Any:
    """Layer that makes a symbolic tensor."""
    return tensor._keras_history.layer


def key(tensor: Any) -> tuple[str, int]:
    """A symbolic tensor by its layer and output index."""
    history = tensor._keras_history
    return history.layer.name, history.tensor_index


def computing_layers(model: tf_keras.Model) -> list[Any]:
    """Layers that become operators: all but the inputs, in the order of the graph."""
    return [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
