"""Small parts as the converter leaves them: functional Keras models with layers named after torch operators."""

import numpy as np

from converters import frameworks
from converters.keras_graph.relayer import RelayeredModel
from converters.spec import Interface, Layout, PartSpec, TensorSpec

FRAMES, CHANNELS, OUT = 16, 8, 4


def residual_part(seed=0, frames=FRAMES, channels=CHANNELS):
    """Two residual convolutions (one dilated) between an input and an output convolution."""
    keras = frameworks.tf_keras()
    layers = keras.layers
    start = keras.Input(batch_size=1, shape=(1, frames, channels), name="mel")
    x = _conv(channels, "dec.conv_pre/Conv")(start)
    x = layers.ReLU(name="dec/Relu")(x)
    for index, dilation in enumerate((1, 3)):
        y = layers.LeakyReLU(0.1, name=f"dec.resblocks.{index}/LeakyRelu")(x)
        y = _conv(channels, f"dec.resblocks.{index}.convs.0/Conv", dilation)(y)
        x = layers.Add(name=f"dec.resblocks.{index}/Add")([x, y])
    x = _conv(OUT, "dec.conv_post/Conv")(x)
    return _part(start, x, frames, channels, OUT, seed)


def branched_part(branches=4, seed=0):
    """The sum of several convolutions of one input, each rectified by itself."""
    keras = frameworks.tf_keras()
    start = keras.Input(batch_size=1, shape=(1, FRAMES, CHANNELS), name="mel")
    x = None
    for index in range(branches):
        y = _conv(CHANNELS, f"enc.convs.{index}/Conv")(start)
        y = keras.layers.Activation("tanh", name=f"enc.{index}/Tanh")(y)
        x = y if x is None else keras.layers.Add(name=f"enc.{index}/Add")([x, y])
    return _part(start, x, FRAMES, CHANNELS, CHANNELS, seed)


def reshaped_part(seed=0):
    """A convolution between two reshapes, which TensorFlow cannot merge with its neighbours."""
    keras = frameworks.tf_keras()
    start = keras.Input(batch_size=1, shape=(1, FRAMES, CHANNELS), name="mel")
    x = _conv(CHANNELS, "enc.first/Conv")(start)
    x = keras.layers.Reshape((1, FRAMES // 2, CHANNELS * 2), name="enc.in/Reshape")(x)
    x = _conv(CHANNELS * 2, "enc.middle/Conv")(x)
    x = keras.layers.Reshape((1, FRAMES, CHANNELS), name="enc.out/Reshape")(x)
    x = keras.layers.Activation("tanh", name="enc/Tanh")(x)
    return _part(start, x, FRAMES, CHANNELS, CHANNELS, seed)


def normed_part(seed=0):
    """A norm's gain and shift before two matrices of the same width, which the converter folds into both."""
    keras = frameworks.tf_keras()
    from converters.keras_graph.layers import ConstantMath

    layers = keras.layers
    start = keras.Input(batch_size=1, shape=(1, FRAMES, CHANNELS), name="mel")
    x = layers.Activation("tanh", name="norm/Tanh")(start)
    x = ConstantMath("multiply", (CHANNELS,), name="norm/Mul")(x)
    x = ConstantMath("add", (CHANNELS,), name="norm/Add")(x)
    key, value = (layers.Dense(CHANNELS, name=f"att.{name}/MatMul")(x) for name in ("k", "v"))
    x = layers.Add(name="att/Add")([x, layers.Multiply(name="att/Mul")([key, value])])
    return _part(start, x, FRAMES, CHANNELS, CHANNELS, seed)


def folded_part(seed=0):
    """A matrix that two others read, one of them scaled: the converter folds its bias forward and the scale back."""
    keras = frameworks.tf_keras()
    from converters.keras_graph.layers import ConstantMath

    layers = keras.layers
    start = keras.Input(batch_size=1, shape=(1, FRAMES, CHANNELS), name="mel")
    x = layers.Dense(CHANNELS, name="pre/MatMul")(start)
    query, key = (layers.Dense(CHANNELS, name=f"att.{name}/MatMul")(x) for name in ("q", "k"))
    query = ConstantMath("multiply", (), name="att/Mul")(query)
    x = layers.Add(name="att/Add")([layers.ReLU(name="att/Relu")(query), layers.Activation("tanh", name="att/T")(key)])
    return _part(start, x, FRAMES, CHANNELS, CHANNELS, seed)


def inputs(count=4, seed=0, frames=FRAMES, channels=CHANNELS):
    """Inputs in torch's layout."""
    draw = np.random.default_rng(seed)
    return [{"mel": draw.standard_normal((1, channels, frames)).astype(np.float32)} for _ in range(count)]


def _conv(filters, name, dilation=1):
    return frameworks.tf_keras().layers.Conv2D(
        filters, (1, 3), padding="same", dilation_rate=(1, dilation), name=name, kernel_initializer="zeros"
    )


def squashed_part(squash, place, seed=0):
    """Two convolutions, a function with bounds, and operators that only move its values: before the end or inside."""
    keras = frameworks.tf_keras()
    wide, narrow = (1, FRAMES // 2, CHANNELS * 2), (1, FRAMES, CHANNELS)
    start = keras.Input(batch_size=1, shape=narrow, name="mel")
    x = start
    if place == "last":
        x = keras.layers.Reshape(wide, name="enc.in/Reshape")(x)
    x = _conv(x.shape[-1], "enc.conv/Conv")(x)
    x = _conv(x.shape[-1], "enc.middle/Conv")(x)
    x = keras.layers.Activation(squash, name="enc/Squash")(x)
    if place == "inside":
        x = keras.layers.Reshape(wide, name="enc.in/Reshape")(x)
        x = _conv(CHANNELS * 2, "enc.post/Conv")(x)
    if place != "none":
        x = keras.layers.Reshape(narrow, name="enc.out/Reshape")(x)
    return _part(start, x, FRAMES, CHANNELS, CHANNELS, seed)


def _part(start, end, frames, channels, out, seed):
    model = frameworks.tf_keras().Model(start, end, name="decoder")
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        layer.set_weights([(0.3 * draw.standard_normal(w.shape)).astype(np.float32) for w in layer.get_weights()])
    spec = PartSpec(
        name="decoder",
        inputs=(TensorSpec(name="mel", shape=(1, channels, frames)),),
        outputs=(TensorSpec(name="audio", shape=(1, out, frames)),),
    )
    layouts = {
        "mel": Layout((1, channels, frames), (1, channels, 1, frames), (0, 2, 3, 1)),
        "audio": Layout((1, out, frames), (1, out, 1, frames), (0, 2, 3, 1)),
    }
    names = {layer.name: layer.name for layer in model.layers if type(layer).__name__ != "InputLayer"}
    return RelayeredModel(model=model, interface=Interface(spec=spec, layouts=layouts), torch_names=names)
