"""Lets every channel of an 8-bit tensor use its 8 bits, with a float gain wherever 8 bits meet float.

Equalisation moves channel scales between layers, and tensors that are added up must share them: a convolution whose
sum with the residual stream is in float takes the stream's scales, though its own channels differ from those by ten
to one. A multiplication per channel between the two sets it free. It is exact, and an element-wise operator beside a
convolution costs little; what it buys is in `toolkit/compress/tried_decoder_joe.json`.

    before:  float -> QUANTIZE -> Conv 8 bits -> DEQUANTIZE -> float
    after:   float -> scale -> QUANTIZE -> Conv 8 bits -> DEQUANTIZE -> unscale -> float

The gains start at one; `equalise` chooses them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import frameworks
from toolkit.compress import rewire
from toolkit.compress.quantised_tensors import quantised_tensors
from toolkit.compress.streams import is_channel_gain

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel
    from toolkit.compress.precision import PrecisionPlan

GAIN_REASON = "gains of single channels where 8 bits meet float, so that each channel uses its 8 bits"
INTO, OUT_OF = "/scale", "/unscale"
"""How a gain is named: the layer it follows, and this."""


def with_channel_gains(relayered: RelayeredModel, plan: PrecisionPlan) -> RelayeredModel:
    """The same part with a gain of ones per channel on every edge between a float and an 8-bit layer.

    Args:
        relayered: float part.
        plan: says which layers will be 8-bit.
    """
    frameworks.tensorflow()
    from converters.keras_graph.layers import ConstantMath

    integer = quantised_tensors(relayered.model, plan).integer
    made: dict[str, Any] = {}

    def gained(source: Any, value: Any, suffix: str) -> Any:
        name = source.name + suffix
        if name not in made:
            gain = ConstantMath(function="multiply", shape=(value.shape[-1],), name=name)
            made[name] = gain(value)
            gain.set_weights([np.ones(value.shape[-1], np.float32)])
        return made[name]

    def visit(layer: Any, inputs: list[Any], copy: Any) -> Any:
        for index, source in enumerate(rewire.producers(layer)):
            enters = layer.name in integer
            if (source.name in integer) == enters or is_channel_gain(source) or is_channel_gain(layer):
                continue
            if type(source).__name__ != "InputLayer" and len(inputs[index].shape) == 4 and inputs[index].shape[-1] > 1:
                inputs[index] = gained(source, inputs[index], INTO if enters else OUT_OF)
        return rewire.call(copy(), inputs)

    model = rewire.rebuild(relayered.model, visit)
    rewire.copy_weights(relayered.model, model)
    return replace(relayered, model=model)
