"""The same layers at another time length: one set of weights for all buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from converters import frameworks
from converters.errors import UnsupportedOp
from converters.keras_graph.relayer import RelayeredModel
from converters.spec import Interface, Layout, PartSpec, TensorSpec

if TYPE_CHECKING:
    import tf_keras


def rebuild_at_length(relayered: RelayeredModel, spec: PartSpec) -> RelayeredModel:
    """A model of ``spec`` (the same part, other lengths) that shares every layer, hence every weight, with the given.

    Args:
        relayered: the model at one length; trained or wrapped layers are shared as they are.
        spec: the part at the other length.

    Raises:
        UnsupportedOp: a layer holds a time length; ``where`` names it. Convert the part at the other length instead.
    """
    for layer in relayered.model.layers:
        if _bakes_length(layer):
            raise UnsupportedOp(
                f"layer {layer.name!r} holds a time length",
                where=relayered.torch_names.get(layer.name, layer.name),
                hint="convert the part at the other length from torch, and copy the weights by layer name",
            )
    interface = _at(relayered.interface, spec)
    keras = frameworks.tf_keras()
    inputs = []
    for tensor in spec.inputs:
        shape = interface.layouts[tensor.name].target_shape
        inputs.append(keras.Input(batch_size=shape[0], shape=shape[1:], dtype=tensor.dtype, name=tensor.name))
    model = keras.models.clone_model(
        relayered.model, input_tensors=inputs if len(inputs) > 1 else inputs[0], clone_function=lambda layer: layer
    )
    for tensor, output in zip(spec.outputs, model.outputs, strict=True):
        expected = interface.layouts[tensor.name].target_shape
        if tuple(output.shape) != expected:
            raise UnsupportedOp(
                f"at the other length output {tensor.name!r} has the shape {tuple(output.shape)}, not {expected}",
                where=spec.name,
                hint="convert the part at the other length from torch",
            )
    return RelayeredModel(model=model, interface=interface, torch_names=relayered.torch_names)


def copy_weights(source: tf_keras.Model, target: tf_keras.Model) -> None:
    """Copies weights between two models of one part, layer by layer, by name.

    Raises:
        UnsupportedOp: a layer of ``target`` with weights is missing in ``source`` or has others.
    """
    known = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        if not layer.weights:
            continue
        other = known.get(layer.name)
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if other is None or [tuple(weight.shape) for weight in other.weights] != shapes:
            raise UnsupportedOp(
                f"layer {layer.name!r} has no counterpart with weights of the same shapes",
                where=layer.name,
                hint="both models must stem from the same part, converted with the same options",
            )
        layer.set_weights(other.get_weights())


def _bakes_length(layer: Any) -> bool:
    keras = frameworks.tf_keras()
    inner = getattr(layer, "layer", layer)  # TF-MOT's wrappers hold the layer they wrap
    return isinstance(inner, keras.layers.Reshape) or bool(getattr(inner, "bakes_length", False))


def _at(interface: Interface, spec: PartSpec) -> Interface:
    old = {tensor.name: tensor for tensor in (*interface.spec.inputs, *interface.spec.outputs)}
    layouts = {
        tensor.name: _layout(interface.layouts[tensor.name], old[tensor.name], tensor)
        for tensor in (*spec.inputs, *spec.outputs)
        if tensor.name in old
    }
    return Interface(spec=spec, layouts=layouts)


def _layout(layout: Layout, old: TensorSpec, new: TensorSpec) -> Layout:
    """The same unit axes and permutation around other sizes."""
    expanded, position = [], 0
    for size in layout.expanded:
        if position < len(old.shape) and size == old.shape[position] and not _inserted(layout, old, position, expanded):
            expanded.append(new.shape[position])
            position += 1
        else:
            expanded.append(size)
    return Layout(tuple(new.shape), tuple(expanded), layout.permutation)


def _inserted(layout: Layout, old: TensorSpec, position: int, done: list[int]) -> bool:
    """Whether the next expanded axis is an inserted one: it is 1 and the rest still fits without it."""
    rest = layout.expanded[len(done) :]
    return rest[0] == 1 and len(rest) > len(old.shape) - position and rest[1:2] == old.shape[position : position + 1]
