"""Which tensors and kernels of a part become 8-bit under a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.compress import rewire
from toolkit.compress.precision import PrecisionPlan
from toolkit.compress.unroundable import is_real

if TYPE_CHECKING:
    import tf_keras

WEIGHTED = frozenset({"Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense"})
_SAME_SCALE = frozenset({"Reshape", "Permute", "Reorder", "StridedSlice"})


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedTensors:
    """What is rounded.

    Attributes:
        activations: layers whose output is stored in 8 bits, in the order of the graph; a float layer is among them
            when an 8-bit layer reads it (a QUANTIZE operator stands between).
        at_entry: those of them that stay float themselves.
        kernels: layers whose kernel is stored in 8 bits.
        integer: layers that compute in 8 bits.
    """

    activations: tuple[str, ...]
    at_entry: frozenset[str]
    kernels: tuple[str, ...]
    integer: frozenset[str]

    @property
    def outputs(self) -> frozenset[str]:
        """8-bit layers whose own output is rounded."""
        return frozenset(self.activations) & self.integer


def quantised_tensors(model: tf_keras.Model, plan: PrecisionPlan) -> QuantisedTensors:
    """Resolves the plan on the graph. Layers the plan does not know (inputs, added entries) are float."""
    asked = plan.by_layer()
    integer = {
        layer.name
        for layer in rewire.computing_layers(model)
        if layer.name in asked and asked[layer.name].asked == "int8" and is_real(layer)
    }
    read = {
        source.name
        for layer in rewire.computing_layers(model)
        if layer.name in integer
        for source in rewire.producers(layer)
        if source.name not in integer and is_real(source)
    }
    order = [layer.name for layer in model.layers if layer.name in integer or layer.name in read]
    kernels = tuple(
        layer.name
        for layer in rewire.computing_layers(model)
        if layer.name in integer and type(layer).__name__ in WEIGHTED
    )
    return QuantisedTensors(
        activations=tuple(order), at_entry=frozenset(read), kernels=kernels, integer=frozenset(integer)
    )



def tied_ranges(
    model: tf_keras.Model, rounded: QuantisedTensors, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """The ranges, with what only re-arranges an 8-bit tensor in the scale of that tensor.

    RESHAPE, TRANSPOSE and STRIDED_SLICE cannot change a scale. Their ranges are searched with sensitivities of other
    channels, so that they may come out different.
    """
    tied = dict(ranges)
    for layer in rewire.computing_layers(model):
        if layer.name in rounded.outputs and keeps_scale(layer):
            tied[layer.name] = tied[rewire.producers(layer)[0].name]
    return tied


def keeps_scale(layer: object) -> bool:
    """Whether an 8-bit layer only re-arranges numbers, so that its output has the scale of its input."""
    return type(layer).__name__ in _SAME_SCALE
