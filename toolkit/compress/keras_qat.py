"""Wraps a relayered part layer by layer with TF-MOT, so that it computes what the int8 file will."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.compress import rewire
from toolkit.compress.precision import PrecisionPlan
from toolkit.compress.quantised_tensors import QuantisedTensors, keeps_scale, quantised_tensors

if TYPE_CHECKING:
    import tf_keras

Ranges = Mapping[str, tuple[float, float]]
"""Layer name to the smallest and largest value its 8-bit output can hold."""

_PREFIX = "quant_"
_ENTRY = "/quantize"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrapOptions:
    """How the quantised model is built.

    Attributes:
        training: layers with CPU gradients, kernels' scales following the kernels, ranges as trainable weights.
        shapes: other input shapes (training windows, batches) by input name.
    """

    training: bool = False
    shapes: Mapping[str, tuple[int, ...]] | None = None


def wrap(
    model: tf_keras.Model, plan: PrecisionPlan, ranges: Ranges, options: WrapOptions | None = None
) -> tf_keras.Model:
    """The model with every int8 layer in TF-MOT's `QuantizeWrapperV2` and a `QuantizeLayer` where float meets int8.

    The inner layers hold the weights of ``model``; `unwrap_weights` brings trained ones back.
    """
    from tensorflow_model_optimization.python.core.quantization.keras import quantize_layer, quantize_wrapper

    from toolkit.compress.quantizers import KernelQuantizer, PlannedConfig, RangeQuantizer
    from toolkit.compress.time_phases import trainable_form

    options = options or WrapOptions()
    rounded = quantised_tensors(model, plan)
    # What the flatbuffer step rounds after export is rounded here only to train through it.
    by_row = weight_only_layers(model, plan) if options.training else frozenset()
    entries: dict[str, Any] = {}

    def visit(layer: Any, inputs: list[Any], copy: Any) -> Any:
        sources = rewire.producers(layer)
        if layer.name in rounded.integer:
            inputs = [
                _entry(source.name, value, entries, ranges, options, quantize_layer, RangeQuantizer)
                if source.name in rounded.at_entry else value
                for source, value in zip(sources, inputs, strict=True)
            ]  # fmt: skip
        inner = trainable_form(layer) if options.training else copy()
        # In training, rounding a second time would only give the same tensor a second, drifting range.
        again = options.training and keeps_scale(layer)
        output = (
            RangeQuantizer(*ranges[layer.name], trainable=options.training)
            if layer.name in rounded.outputs and not again
            else None
        )
        if layer.name in by_row:
            config = PlannedConfig(KernelQuantizer(per_channel=True), None)
            return rewire.call(quantize_wrapper.QuantizeWrapperV2(inner, config, name=_PREFIX + layer.name), inputs)
        if layer.name not in rounded.integer:
            return rewire.call(inner, inputs)
        config = PlannedConfig(_kernel_quantizer(layer, rounded, options), output)
        return rewire.call(quantize_wrapper.QuantizeWrapperV2(inner, config, name=_PREFIX + layer.name), inputs)

    wrapped = rewire.rebuild(model, visit, options.shapes)
    for name, variables in weight_variables(wrapped).items():
        if _has(model, name):
            for variable, value in zip(variables, model.get_layer(name).get_weights(), strict=True):
                variable.assign(value)
    return wrapped


def weight_only_layers(model: tf_keras.Model, plan: PrecisionPlan) -> frozenset[str]:
    """Layers that are to have int8 weights, with a scale for each output, beside float activations."""
    wanted, kinds = plan.layers_asking("int8-weights"), ("Dense", "Conv2D")
    return frozenset(layer.name for layer in model.layers if layer.name in wanted and type(layer).__name__ in kinds)


def unwrap_weights(wrapped: tf_keras.Model, target: tf_keras.Model) -> None:
    """Gives ``target``'s layers the weights the wrapped layers have trained."""
    for name, variables in weight_variables(wrapped).items():
        if _has(target, name):
            target.get_layer(name).set_weights([variable.numpy() for variable in variables])


def weight_variables(wrapped: tf_keras.Model) -> dict[str, list[Any]]:
    """Layer name to its weights in the order `set_weights` wants; a wrapped kernel is a variable of the wrapper."""
    found: dict[str, list[Any]] = {}
    for layer in wrapped.layers:
        inner = getattr(layer, "layer", layer)
        kernels = [variable for variable, _, _ in getattr(layer, "_weight_vars", [])]
        if kernels:
            found[inner.name] = [*kernels, *([inner.bias] if inner.use_bias else [])]
        elif inner.weights and not layer.name.endswith(_ENTRY):
            found[inner.name] = list(inner.weights)
    return found


def trained_ranges(wrapped: tf_keras.Model, ranges: Ranges) -> dict[str, tuple[float, float]]:
    """The ranges as training left them."""
    found = dict(ranges)
    for layer in wrapped.layers:
        ends = {name: float(value) for value in layer.weights for name in ("low", "high") if f"_{name}:" in value.name}
        if len(ends) == 2:
            name = layer.name.removeprefix(_PREFIX).removesuffix(_ENTRY)
            found[name] = (min(ends["low"], 0.0), max(ends["high"], 1e-8))
    return found


def _kernel_quantizer(layer: Any, rounded: QuantisedTensors, options: WrapOptions) -> Any:
    from toolkit.compress.quantizers import KernelQuantizer

    if layer.name not in rounded.kernels:
        return None
    # The converter cannot store transposed convolutions and dense layers from fake quantisation per channel.
    per_channel = type(layer).__name__ == "Conv2D"
    if options.training:
        return KernelQuantizer(per_channel)
    kernel = np.abs(layer.get_weights()[0])
    peaks = kernel.reshape(-1, kernel.shape[-1]).max(0) if per_channel else kernel.max()[None]
    return KernelQuantizer(per_channel, np.maximum(peaks, 1e-8).tolist())


def _entry(
    name: str, value: Any, entries: dict[str, Any], ranges: Ranges, options: WrapOptions, module: Any, quantizer: Any
) -> Any:
    if name not in entries:
        layer = module.QuantizeLayer(quantizer(*ranges[name], trainable=options.training), name=f"{name}{_ENTRY}")
        entries[name] = layer(value)
    return entries[name]


def _has(model: tf_keras.Model, name: str) -> bool:
    return any(layer.name == name for layer in model.layers)
