"""Large weights as inputs of the traced function, so that TensorFlow's converter never holds them.

The converter copies every constant some ten times on its way through GraphDefs and MLIR: a transformer of 77 M weights
takes 40 s and 4 GB that way, and 4 s and 0.4 GB when it sees placeholders. `tflite_graph.bind_weights` puts the values
into the file afterwards and folds what the converter then had to leave open.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tf_keras

_ATTRIBUTES = {"Dense": "kernel", "Conv2D": "kernel", "Conv2DTranspose": "kernel", "Embedding": "embeddings"}
_PREFIX = "weight_input_"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightInput:
    """One weight that is an input while the model is converted.

    Attributes:
        name: of the input.
        layer: the layer it belongs to.
        attribute: of the layer.
        variable: the weight.
    """

    name: str
    layer: tf_keras.layers.Layer
    attribute: str
    variable: Any

    def value(self) -> np.ndarray:
        """The weight as Keras lays it out, where TensorFlow holds it: not to be written to."""
        return np.asarray(memoryview(self.variable.read_value()))


def weight_inputs(model: tf_keras.Model, min_bytes: int, leave: frozenset[str] = frozenset()) -> list[WeightInput]:
    """Weights that go around the converter: matrices, kernels and tables of plain layers.

    Args:
        model: functional model.
        min_bytes: smaller ones stay constants, which the converter may then fuse as it likes.
        leave: names of inputs that have to stay constants.
    """
    found = []
    for layer in model.layers:
        attribute = _ATTRIBUTES.get(type(layer).__name__)
        if attribute is None:
            continue
        variable = getattr(layer, attribute)
        name = f"{_PREFIX}{len(found)}"
        if 4 * variable.shape.num_elements() >= min_bytes:
            found.append(WeightInput(name=name, layer=layer, attribute=attribute, variable=variable))
    return [item for item in found if item.name not in leave]


@contextlib.contextmanager
def replaced(weights: Sequence[WeightInput], tensors: Sequence[Any]) -> Iterator[None]:
    """Lets the layers compute with ``tensors`` in place of their weights."""
    try:
        for item, tensor in zip(weights, tensors, strict=True):
            # Not through Keras, which would take the tensor for a new weight of the layer.
            object.__setattr__(item.layer, item.attribute, tensor)
        yield
    finally:
        for item in weights:
            object.__setattr__(item.layer, item.attribute, item.variable)
