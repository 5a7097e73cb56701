"""The few Keras layers the rebuilt models need beyond those of Keras itself.

Each is one TensorFlow operation, serialisable, and says in ``bakes_length`` whether it holds a time length that keeps
the model from being rebuilt at another one. Constants that came from torch are weights, so that they train.
"""

# Keras layers are classes of the framework: this module is only imported where models are built.
# ruff: noqa: D102 (call, build and get_config are Keras' own methods)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

_register = tf_keras.utils.register_keras_serializable(package="converters")


class _Configured(tf_keras.layers.Layer):
    """A layer whose constructor arguments are its configuration.

    Attributes:
        bakes_length: the layer's configuration or weights depend on a time length.
    """

    bakes_length = False

    def __init__(self, name: str | None = None, dtype: Any = None, trainable: bool = True, **config: Any) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.config = config

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.config}


@_register
class DepthToTime(_Configured):
    """Turns phases held in channels into time: ``[N, 1, T, s * C]`` to ``[N, 1, T * s, C]``; one reshape."""

    def __init__(self, stride: int, **kwargs: Any) -> None:
        super().__init__(stride=int(stride), **kwargs)
        self.stride = int(stride)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        batch, height, time, channels = inputs.shape
        return tf.reshape(inputs, [batch, height, time * self.stride, channels // self.stride])


@_register
class ConstantMath(_Configured):
    """An element-wise function of the input and a constant, which is a weight.

    Attributes:
        function: name in ``tf.math``.
        constant_first: whether the constant is the left operand.
        shape: shape of the constant.
    """

    def __init__(self, function: str, shape: Sequence[int], constant_first: bool = False, **kwargs: Any) -> None:
        super().__init__(function=function, shape=tuple(shape), constant_first=constant_first, **kwargs)
        self.function, self.shape, self.constant_first = function, tuple(shape), constant_first
        self.bakes_length = len(self.shape) > 1 and any(size > 1 for size in self.shape[1:-1])

    def build(self, input_shape: Any) -> None:
        self.constant = self.add_weight("constant", self.shape, self.dtype, "zeros", trainable=self.dtype == "float32")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        operands = (self.constant, inputs) if self.constant_first else (inputs, self.constant)
        return getattr(tf.math, self.function)(*operands)


@_register
class BinaryMath(_Configured):
    """An element-wise function (or comparison) of two tensors, by its name in ``tf.math``."""

    def __init__(self, function: str, **kwargs: Any) -> None:
        super().__init__(function=function, **kwargs)
        self.function = function

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        return getattr(tf.math, self.function)(*inputs)


@_register
class UnaryMath(_Configured):
    """An element-wise function of one tensor, by its name in ``tf.math`` or ``tf.nn``."""

    def __init__(self, function: str, low: float | None = None, high: float | None = None, **kwargs: Any) -> None:
        super().__init__(function=function, low=low, high=high, **kwargs)
        self.function, self.low, self.high = function, low, high

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if self.function == "clip":
            raised = inputs if self.low is None else tf.maximum(inputs, self.low)
            return raised if self.high is None else tf.minimum(raised, self.high)
        owner = tf.math if hasattr(tf.math, self.function) else tf.nn
        return getattr(owner, self.function)(inputs)


@_register
class LogSoftmax(_Configured):
    """The logarithm of the softmax along an axis."""

    def __init__(self, axis: int, **kwargs: Any) -> None:
        super().__init__(axis=int(axis), **kwargs)
        self.axis = int(axis)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.log_softmax(inputs, axis=self.axis)


@_register
class MatMul(_Configured):
    """The matrix product of two tensors."""

    def __init__(self, transpose_a: bool = False, transpose_b: bool = False, **kwargs: Any) -> None:
        super().__init__(transpose_a=transpose_a, transpose_b=transpose_b, **kwargs)
        self.transpose_a, self.transpose_b = transpose_a, transpose_b

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.matmul(*inputs, transpose_a=self.transpose_a, transpose_b=self.transpose_b)


@_register
class Constant(_Configured):
    """A constant as a weight; the input only ties the layer to the graph."""

    def __init__(self, shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(shape=tuple(shape), **kwargs)
        self.shape = tuple(shape)
        self.bakes_length = any(size > 1 for size in self.shape)

    def build(self, input_shape: Any) -> None:
        trainable = self.dtype == "float32"
        self.constant = self.add_weight("constant", self.shape, self.dtype, "zeros", trainable=trainable)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.convert_to_tensor(self.constant)


@_register
class LayerNorm(_Configured):
    """Normalisation over ``axes``: subtract the mean, divide by the deviation, scale and shift."""

    def __init__(self, axes: Sequence[int], epsilon: float, **kwargs: Any) -> None:
        super().__init__(axes=tuple(axes), epsilon=float(epsilon), **kwargs)
        self.axes, self.epsilon = tuple(axes), float(epsilon)

    def build(self, input_shape: Any) -> None:
        shape = tuple(int(input_shape[axis]) for axis in self.axes)
        self.gamma = self.add_weight("gamma", shape, self.dtype, "ones")
        self.beta = self.add_weight("beta", shape, self.dtype, "zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        centred = inputs - tf.reduce_mean(inputs, self.axes, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), self.axes, keepdims=True)
        scaled = centred * tf.math.rsqrt(variance + self.epsilon)
        shape = [size if axis in self.axes else 1 for axis, size in enumerate(inputs.shape)]
        return scaled * tf.reshape(self.gamma, shape) + tf.reshape(self.beta, shape)


@_register
class StridedSlice(_Configured):
    """A slice of every axis. An ``end`` of ``None`` is the end of the axis, whatever its length."""

    def __init__(self, begin: Sequence[int], end: Sequence[int | None], strides: Sequence[int], **kwargs: Any) -> None:
        super().__init__(begin=tuple(begin), end=tuple(end), strides=tuple(strides), **kwargs)
        self.parts = tuple(slice(*part) for part in zip(begin, end, strides, strict=True))
        self.bakes_length = any(part.stop is not None for part in self.parts[1:-1])

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs[self.parts]


@_register
class Pad(_Configured):
    """Padding of every axis with a constant or by reflection."""

    def __init__(self, paddings: Sequence[Sequence[int]], mode: str, value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(paddings=[list(pair) for pair in paddings], mode=mode, value=value, **kwargs)
        self.paddings, self.mode, self.value = [list(pair) for pair in paddings], mode, value

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.pad(inputs, self.paddings, mode=self.mode, constant_values=self.value)


@_register
class Reduce(_Configured):
    """A reduction (``mean``, ``sum``, ``max``, ``min``, ``prod``) over ``axes``."""

    def __init__(self, function: str, axes: Sequence[int], keepdims: bool, **kwargs: Any) -> None:
        super().__init__(function=function, axes=tuple(axes), keepdims=keepdims, **kwargs)
        self.function, self.axes, self.keepdims = function, tuple(axes), keepdims

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return getattr(tf, f"reduce_{self.function}")(inputs, self.axes, keepdims=self.keepdims)


@_register
class Gather(_Configured):
    """Takes ``indices`` of an axis."""

    def __init__(self, indices: Any, axis: int, **kwargs: Any) -> None:
        super().__init__(indices=np.asarray(indices).tolist(), axis=int(axis), **kwargs)
        self.indices, self.axis = np.asarray(indices, np.int32), int(axis)
        self.bakes_length = self.axis != 3  # 3 is the channel axis of signals

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.gather(inputs, self.indices, axis=self.axis)


@_register
class GatherAlong(_Configured):
    """Takes the entries of the first input that the second one names."""

    def __init__(self, axis: int, **kwargs: Any) -> None:
        super().__init__(axis=int(axis), **kwargs)
        self.axis = int(axis)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.gather(inputs[0], inputs[1], axis=self.axis)


@_register
class Where(_Configured):
    """Chooses between two tensors, element by element."""

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.where(*inputs)


@_register
class Cast(_Configured):
    """Converts to another type of number."""

    def __init__(self, to: str, **kwargs: Any) -> None:
        super().__init__(to=to, **kwargs)
        self.to = to

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.cast(inputs, self.to)


@_register
class Tile(_Configured):
    """Repeats the tensor along each axis."""

    def __init__(self, repeats: Sequence[int], **kwargs: Any) -> None:
        super().__init__(repeats=tuple(repeats), **kwargs)
        self.repeats = tuple(repeats)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.tile(inputs, self.repeats)


@_register
class Split(_Configured):
    """Cuts an axis into parts of the given sizes."""

    def __init__(self, sizes: Sequence[int], axis: int, **kwargs: Any) -> None:
        super().__init__(sizes=tuple(sizes), axis=int(axis), **kwargs)
        self.sizes, self.axis = tuple(sizes), int(axis)

    def call(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        return tf.split(inputs, self.sizes, axis=self.axis)


@_register
class Reorder(_Configured):
    """A permutation of all axes, the batch included (Keras' ``Permute`` leaves the batch where it is)."""

    def __init__(self, permutation: Sequence[int], **kwargs: Any) -> None:
        super().__init__(permutation=tuple(permutation), **kwargs)
        self.permutation = tuple(permutation)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.transpose(inputs, self.permutation)


@_register
class Reshape(_Configured):
    """A reshape of all axes, the batch included (Keras' ``Reshape`` leaves the batch where it is)."""

    bakes_length = True

    def __init__(self, shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(shape=tuple(shape), **kwargs)
        self.shape = tuple(shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.reshape(inputs, self.shape)


@_register
class Resize(_Configured):
    """Scales height and width by whole factors, or to a size when ``scale`` is ``None``."""

    def __init__(
        self,
        method: str,
        scale: Sequence[int] | None,
        size: Sequence[int] | None,
        half_pixel_centers: bool,
        align_corners: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            method=method,
            scale=scale,
            size=size,
            half_pixel_centers=half_pixel_centers,
            align_corners=align_corners,
            **kwargs,
        )
        self.method, self.scale, self.size = method, scale, size
        self.options = {"half_pixel_centers": half_pixel_centers, "align_corners": align_corners}
        self.bakes_length = scale is None

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        size = self.size or [inputs.shape[1] * self.scale[0], inputs.shape[2] * self.scale[1]]
        functions = {
            "nearest": tf.compat.v1.image.resize_nearest_neighbor,
            "bilinear": tf.compat.v1.image.resize_bilinear,
        }
        return functions[self.method](inputs, size, **self.options)
