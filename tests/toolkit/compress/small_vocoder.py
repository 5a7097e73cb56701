"""A small HiFi-GAN-like Keras model as the relayer gives it, with inputs whose channels differ much in size."""

from __future__ import annotations

import numpy as np

from converters import frameworks
from converters.keras_graph.relayer import RelayeredModel
from converters.spec import Interface, Layout, PartSpec, TensorSpec
from toolkit.recipe.schema import PrecisionPolicy, PrecisionRule

FRAMES, CHANNELS, STRIDE = 32, 6, 4
BRANCHES = "dec.resblocks.*.convs.0"
FLOAT_SUMS = PrecisionPolicy(
    default="float32", rules=(PrecisionRule(match=BRANCHES, use="int8", because="chosen by the test"),)
)
"""Only the convolutions of the residual branches are 8-bit."""


def small_vocoder(seed: int = 0, frames: int = FRAMES) -> RelayeredModel:
    """conv_pre, one upsampling, two residual branches with dilation, masks, an average folded into a mask, tanh."""
    keras = frameworks.tf_keras()
    from converters.keras_graph.layers import ConstantMath, Resize

    layers = keras.layers
    z = keras.Input(batch_size=1, shape=(1, frames, CHANNELS), name="z")
    mask = keras.Input(batch_size=1, shape=(1, frames, 1), name="mask")
    x = layers.Multiply(name="dec/Mul")([z, mask])
    x = layers.Conv2D(8, (1, 7), padding="same", name="dec.conv_pre/Conv")(x)
    x = layers.LeakyReLU(0.1, name="dec/LeakyRelu")(x)
    x = layers.Conv2DTranspose(8, (1, 8), (1, STRIDE), padding="same", name="dec.ups.0/ConvTranspose")(x)
    fine = Resize("nearest", (1, STRIDE), None, False, False, name="dec/Resize")(mask)
    x = layers.Multiply(name="dec/Mul_1")([x, fine])
    rectified = layers.LeakyReLU(0.1, name="dec.resblocks.0/LeakyRelu")(x)
    branches = []
    for index, dilation in enumerate((1, 3)):
        y = layers.Conv2D(8, (1, 3), padding="same", dilation_rate=(1, dilation),
                          name=f"dec.resblocks.{index}.convs.0/Conv")(rectified)  # fmt: skip
        branches.append(layers.Add(name=f"dec.resblocks.{index}/Add")([y, x]))
    x = layers.Add(name="dec/Add")(branches)
    x = layers.Multiply(name="dec/Mul_2")([x, ConstantMath("multiply", (), name="dec/Mul_3")(fine)])
    x = layers.LeakyReLU(0.01, name="dec/LeakyRelu_1")(x)
    x = layers.Conv2D(1, (1, 7), padding="same", name="dec.conv_post/Conv")(x)
    x = layers.Activation("tanh", name="dec/Tanh")(x)
    model = keras.Model([z, mask], x, name="decoder")
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        weights = layer.get_weights()
        if layer.name == "dec/Mul_3":
            layer.set_weights([np.float32(0.5)])
        elif weights:
            kernel = generator.standard_normal(weights[0].shape) / np.sqrt(np.prod(weights[0].shape[:-1]))
            uneven = np.exp(generator.standard_normal(weights[0].shape[-1]))
            if "Transpose" not in layer.name and "post" not in layer.name:
                kernel = kernel * uneven
            layer.set_weights(
                [kernel.astype(np.float32), *(0.1 * generator.standard_normal(w.shape) for w in weights[1:])]
            )
    return RelayeredModel(
        model=model,
        interface=_interface(frames),
        torch_names={layer.name: layer.name for layer in model.layers if layer.name not in ("z", "mask")},
    )


def small_inputs(count: int, seed: int = 1, frames: int = FRAMES) -> list[dict[str, np.ndarray]]:
    """Smooth signals of uneven channels, the last frames masked."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        z = np.cumsum(generator.standard_normal((1, CHANNELS, frames)), axis=-1) * 0.3
        z = (z * np.geomspace(0.2, 8.0, CHANNELS)[None, :, None]).astype(np.float32)
        mask = (np.arange(frames) < frames - 4).astype(np.float32).reshape(1, 1, frames)
        found.append({"z": z * mask, "mask": mask})
    return found


def _interface(frames: int) -> Interface:
    spec = PartSpec(
        name="decoder",
        inputs=(TensorSpec(name="z", shape=(1, CHANNELS, frames)), TensorSpec(name="mask", shape=(1, 1, frames))),
        outputs=(TensorSpec(name="audio", shape=(1, 1, frames * STRIDE)),),
    )
    layouts = {
        tensor.name: Layout(tensor.shape, (1, tensor.shape[1], 1, tensor.shape[2]), (0, 2, 3, 1))
        for tensor in (*spec.inputs, *spec.outputs)
    }
    return Interface(spec=spec, layouts=layouts)
