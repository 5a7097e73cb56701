"""TF-MOT quantisers that round exactly as the exported file will, and the configuration that puts them on a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras import quantize_config, quantizers

_BITS = 8
_SMALLEST = 1e-8


@tf_keras.utils.register_keras_serializable(package="toolkit")
class RangeQuantizer(quantizers.Quantizer):
    """Rounds an activation to 256 steps of a range found by calibration; the range may be trained.

    TF-MOT's own moving average starts at +-6 and would need thousands of steps to reach ranges of +-100.
    """

    def __init__(self, low: float, high: float, trainable: bool = False) -> None:
        self.low, self.high, self.trainable = min(float(low), 0.0), max(float(high), _SMALLEST), bool(trainable)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """The two ends of the range, as weights when they are trained."""
        if not self.trainable:
            return {}
        constant = tf_keras.initializers.Constant
        return {
            "low": layer.add_weight(f"{name}_low", (), initializer=constant(self.low), trainable=True),
            "high": layer.add_weight(f"{name}_high", (), initializer=constant(self.high), trainable=True),
        }

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, Any], **kwargs: Any) -> tf.Tensor:
        """``inputs`` rounded to the range."""
        low, high = weights.get("low", self.low), weights.get("high", self.high)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high, num_bits=_BITS)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"low": self.low, "high": self.high, "trainable": self.trainable}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeQuantizer) and self.get_config() == other.get_config()

    __hash__ = None  # type: ignore[assignment]


@tf_keras.utils.register_keras_serializable(package="toolkit")
class KernelQuantizer(quantizers.Quantizer):
    """Rounds a kernel symmetrically to 255 steps, per output channel or as a whole, as the converter stores it.

    Attributes:
        peaks: largest magnitudes, fixed for export; empty follows the kernel while it trains.
        per_channel: one scale for each channel of the last axis.
    """

    def __init__(self, per_channel: bool, peaks: Sequence[float] = ()) -> None:
        self.per_channel, self.peaks = bool(per_channel), [float(peak) for peak in peaks]

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Nothing is stored: the scale is that of the kernel itself."""
        return {}

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, Any], **kwargs: Any) -> tf.Tensor:
        """The kernel ``inputs``, rounded."""
        if self.peaks:
            peak = tf.constant(self.peaks if self.per_channel else self.peaks[0], tf.float32)
        else:
            axes = list(range(len(inputs.shape) - 1)) if self.per_channel else None
            peak = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(inputs), axis=axes), _SMALLEST))
        function = (
            tf.quantization.fake_quant_with_min_max_vars_per_channel
            if self.per_channel
            else tf.quantization.fake_quant_with_min_max_vars
        )
        return function(inputs, -peak, peak, num_bits=_BITS, narrow_range=True)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"per_channel": self.per_channel, "peaks": self.peaks}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KernelQuantizer) and self.get_config() == other.get_config()

    __hash__ = None  # type: ignore[assignment]


@tf_keras.utils.register_keras_serializable(package="toolkit")
class PlannedConfig(quantize_config.QuantizeConfig):
    """What `QuantizeWrapperV2` rounds of a layer: its kernel, its output, both or neither."""

    def __init__(self, kernel: KernelQuantizer | None, output: RangeQuantizer | None) -> None:
        self.kernel, self.output = kernel, output

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """The kernel, when it is rounded."""
        return [(getattr(layer, _kernel_name(layer)), self.kernel)] if self.kernel else []

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """None: outputs are rounded after the activation."""
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: Sequence[Any]) -> None:
        """Puts the rounded kernel in the layer."""
        if self.kernel:
            setattr(layer, _kernel_name(layer), quantize_weights[0])

    def set_quantize_activations(self, layer: Any, quantize_activations: Sequence[Any]) -> None:
        """Nothing to set."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """The output's quantiser, when it is rounded."""
        return [self.output] if self.output else []

    def get_config(self) -> dict[str, Any]:
        """Serialised quantisers."""
        serialise = tf_keras.utils.serialize_keras_object
        return {"kernel": serialise(self.kernel) if self.kernel else None,
                "output": serialise(self.output) if self.output else None}  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PlannedConfig:
        """Restores the quantisers."""
        restore = tf_keras.utils.deserialize_keras_object
        return cls(*(restore(config[key]) if config[key] else None for key in ("kernel", "output")))


def _kernel_name(layer: Any) -> str:
    return "depthwise_kernel" if isinstance(layer, tf_keras.layers.DepthwiseConv2D) else "kernel"
