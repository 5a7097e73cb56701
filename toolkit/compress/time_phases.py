"""Dilated convolutions TensorFlow can train on a CPU: each phase of the signal is convolved without dilation."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras


class PhasedConv2D(tf_keras.layers.Conv2D):
    """A Conv2D whose dilation is a split of height and width into phases.

    TensorFlow has no gradient for dilated convolutions on a CPU. With dilation ``d`` every ``d``-th sample only ever
    meets its own kind, so the signal is cut into ``d`` phases, stacked as a batch, convolved densely and put together
    again. Same configuration, same weights, same numbers; exported models use the plain Conv2D.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The dense convolution of every phase."""
        if self.dilation_rate == (1, 1):
            return super().convolution_op(inputs, kernel)
        paddings, crops = [], []
        for axis in (0, 1):
            size, dilation = inputs.shape[axis + 1], self.dilation_rate[axis]
            reach = dilation * (self.kernel_size[axis] - 1)
            before = reach // 2 if self.padding == "same" else 0
            after = reach - before if self.padding == "same" else 0
            padded = size + before + after
            extra = -padded % dilation
            paddings.append([before, after + extra])
            crops.append([0, extra])
        phases = tf.space_to_batch(inputs, list(self.dilation_rate), paddings)
        dense = tf.nn.conv2d(phases, kernel, strides=1, padding="VALID")
        return tf.batch_to_space(dense, list(self.dilation_rate), crops)


def trainable_form(layer: Any) -> Any:
    """A new layer of the same configuration whose gradient exists on a CPU."""
    if type(layer).__name__ == "Conv2D" and layer.dilation_rate != (1, 1) and _splits(layer):
        return PhasedConv2D.from_config(layer.get_config())
    return type(layer).from_config(layer.get_config())


def _splits(layer: Any) -> bool:
    return layer.strides == (1, 1) and layer.groups == 1
