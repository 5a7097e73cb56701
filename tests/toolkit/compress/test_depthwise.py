"""Depthwise convolutions in 8 bits: a mobile block as a whole, equalised or not, and what a wrong kernel would do."""

import numpy as np
import pytest

from converters import frameworks
from converters.keras_graph.run import keras_runner
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.compress.small_parts import CHANNELS, FRAMES, inputs
from tests.toolkit.compress.small_parts import _part as made_part
from toolkit.compress.calibrate import observe_statistics, search_ranges
from toolkit.compress.keras_qat import WrapOptions, unwrap_weights, weight_variables, wrap
from toolkit.compress.precision import plan_precision
from toolkit.compress.quantised_tensors import quantised_tensors
from toolkit.compress.run import compress_part
from toolkit.recipe.schema import Compression, Finetune, PrecisionPolicy

INNER = 16


def mobile_part(seed=0):
    """An inverted residual block over time between two pointwise convolutions."""
    keras = frameworks.tf_keras()
    layers = keras.layers
    start = keras.Input(batch_size=1, shape=(1, FRAMES, CHANNELS), name="mel")
    x = layers.Conv2D(CHANNELS, 1, name="first/Conv")(start)
    y = layers.ReLU(6.0, name="block/Clip")(layers.Conv2D(INNER, 1, name="block.expand/Conv")(x))
    y = layers.DepthwiseConv2D((1, 5), padding="same", name="block.depthwise/Conv")(y)
    y = layers.Conv2D(CHANNELS, 1, name="block.project/Conv")(layers.ReLU(6.0, name="block/Clip_1")(y))
    x = layers.Add(name="block/Add")([x, y])
    return made_part(start, layers.Conv2D(4, 1, name="last/Conv")(x), FRAMES, CHANNELS, 4, seed)


def _compressed(part, **settings):
    return compress_part(part, PrecisionPolicy(default="int8"), Compression.model_validate(settings), inputs(8))


def _noise_db(part, made):
    exact = keras_runner(part.model, part.interface)
    run = tflite_runner(made.tflite, made.relayered.interface)
    pairs = [(exact(arrays)["audio"], run(arrays)["audio"]) for arrays in inputs(4, seed=9)]
    signal, noise = (
        sum(float(np.square(x).sum()) for x in xs) for xs in zip(*[(a, a - b) for a, b in pairs], strict=True)
    )
    return 10 * np.log10(signal / noise)


@pytest.mark.parametrize("equalise", [False, True])
def test_a_mobile_block_is_int8_as_a_whole(equalise):
    part = mobile_part()
    made = _compressed(part, equalise=equalise, finetune=Finetune(steps=0).model_dump())
    computed = {row.op: row.realised for row in made.audit.rows if "block" in row.op}
    assert any("block.depthwise/Conv" in op for op in computed) and set(computed.values()) == {"int8"}
    assert _noise_db(part, made) > 25


def test_noise_sees_a_depthwise_kernel_that_was_lost():
    """Twin: the same file judged against a part with another depthwise kernel."""
    part = mobile_part()
    made = _compressed(part, equalise=False, finetune=Finetune(steps=0).model_dump())
    layer = part.model.get_layer("block.depthwise/Conv")
    layer.set_weights([-value for value in layer.get_weights()])
    assert _noise_db(part, made) < 15


def test_a_mobile_block_learns_in_8_bits():
    """Weights put out of tune come back: the depthwise kernel's among them."""
    part = mobile_part()
    wrong = part.model.get_layer("block.depthwise/Conv")
    kernel, bias = wrong.get_weights()
    exact = keras_runner(part.model, part.interface)
    expected = [exact(arrays)["audio"] for arrays in inputs(4, seed=9)]
    relayered, plan, ranges = _prepared(part)
    wrapped = wrap(relayered.model, plan, ranges, WrapOptions(training=True))
    (variable, _) = weight_variables(wrapped)["block.depthwise/Conv"]
    variable.assign(kernel * 0.8)
    assert variable.shape == kernel.shape and np.isfinite(bias).all()
    tf = frameworks.tensorflow()
    data = [tf.constant(arrays["mel"].transpose(0, 2, 1)[:, None]) for arrays in inputs(4, seed=9)]
    wanted = [tf.constant(audio.transpose(0, 2, 1)[:, None]) for audio in expected]

    def loss():
        return sum(tf.reduce_mean(tf.square(wrapped(x, training=True) - y)) for x, y in zip(data, wanted, strict=True))

    before = float(loss())
    for _ in range(60):
        with tf.GradientTape() as tape:
            value = loss()
        gradient = tape.gradient(value, variable)
        variable.assign_sub(0.02 * gradient / (tf.norm(gradient) + 1e-9))
    assert float(loss()) < 0.5 * before
    unwrap_weights(wrapped, part.model)
    assert np.abs(part.model.get_layer("block.depthwise/Conv").get_weights()[0] - kernel * 0.8).max() > 1e-3


def _prepared(part):
    plan = plan_precision(part, PrecisionPolicy(default="int8"), "decoder")
    statistics = observe_statistics(part, inputs(8), with_gain=True)
    names = quantised_tensors(part.model, plan).activations
    return part, plan, search_ranges(part, inputs(8), statistics, names)
