from __future__ import annotations

import numpy as np
import pytest

from converters.keras_graph.run import keras_intermediates, keras_runner
from converters.onnx_graph.run import intermediates
from converters.parity import compare
from tests.converters.chain import Chain, build


@pytest.fixture(scope="module")
def decoder() -> Chain:
    return build("vits_decoder")


def test_every_convolution_is_a_trainable_keras_layer_named_after_torch(decoder: Chain) -> None:
    import tf_keras

    model = decoder.relayered.model
    convolutions = [layer for layer in model.layers if type(layer) is tf_keras.layers.Conv2D]
    torch_paths = {name for name, _ in decoder.module.named_modules()}
    assert len(convolutions) >= 12
    for layer in convolutions:
        assert len(layer.trainable_weights) == 2
        assert decoder.relayered.torch_names[layer.name].rpartition("/")[0] in torch_paths
    assert not [layer for layer in model.layers if "TFOpLambda" in type(layer).__name__]


def test_weights_are_the_ones_of_torch(decoder: Chain) -> None:
    layer = decoder.relayered.model.get_layer("resblocks.0.convs.0/Conv")
    expected = decoder.module.resblocks[0].convs[0].weight.detach().numpy()
    assert np.array_equal(layer.kernel.numpy()[0], expected.transpose(2, 1, 0))


def test_gradients_reach_the_first_convolution(decoder: Chain) -> None:
    import tensorflow as tf

    model = build("vits_wavenet").relayered.model
    inputs = [tf.random.stateless_normal(tensor.shape, [1, 2]) for tensor in model.inputs]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(inputs)))
    convolution = model.get_layer("in_layers.0/Conv") if _has(model, "in_layers.0/Conv") else model.layers[1]
    gradient = tape.gradient(loss, convolution.trainable_weights)
    assert all(item is not None and float(tf.reduce_max(tf.abs(item))) > 0 for item in gradient)


def _has(model: object, name: str) -> bool:
    return any(layer.name == name for layer in model.layers)


def test_layers_compute_the_onnx_nodes_they_are_named_after(decoder: Chain) -> None:
    inputs = decoder.case.inputs(3)
    expected = intermediates(decoder.onnx.model, decoder.onnx.interface, inputs)
    names = decoder.relayered.torch_names
    found = keras_intermediates(decoder.relayered.model, decoder.relayered.interface, inputs, list(names))
    checked = 0
    for layer, value in found.items():
        if names[layer] in expected and layer == names[layer]:
            checked += 1
            assert np.sort(value.ravel()) == pytest.approx(np.sort(expected[names[layer]].ravel()), abs=1e-5), layer
    assert checked > 30


def test_one_changed_weight_is_seen(decoder: Chain) -> None:
    chain = build("vits_decoder")
    inputs = chain.case.inputs(3)
    layer = chain.relayered.model.get_layer("resblocks.0.convs.0/Conv")
    kernel, bias = layer.get_weights()
    kernel[0, 0, 0, 0] += 0.01
    layer.set_weights([kernel, bias])
    report = compare(chain.reference(inputs), keras_runner(chain.relayered.model, chain.relayered.interface)(inputs))
    assert report.worst_snr_db < 90


def test_layers_wrap_with_tfmot(decoder: Chain) -> None:
    import tensorflow_model_optimization as tfmot

    schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, begin_step=0)
    layer = decoder.relayered.model.get_layer("conv_pre/Conv")
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(type(layer).from_config(layer.get_config()), schedule)
    assert wrapped.layer.name == layer.name


@pytest.mark.parametrize("case_id", ["conv_transpose1d_k16s8p4", "conv_transpose1d_k3s2p1o1", "conv_transpose2d"])
def test_native_transposed_convolution_is_one_layer(case_id: str) -> None:
    from converters.keras_graph.relayer import relayer
    from converters.onnx_graph.pass_types import RewriteOptions
    from converters.onnx_graph.pipeline import rewrite
    from converters.onnx_to_keras import to_keras
    from converters.torch_to_onnx import export
    from tests.model_zoo import BY_ID

    case = BY_ID[case_id]
    module = case.build()
    rewritten = rewrite(export(module, case.spec), case.spec, options=RewriteOptions(transposed_conv="native"))
    stage = to_keras(rewritten.model, rewritten.interface)
    chain = Chain(case=case, module=module, onnx=rewritten, stage=stage, relayered=relayer(stage))
    inputs = case.inputs(0)
    found = keras_runner(chain.relayered.model, chain.relayered.interface)(inputs)
    assert compare(chain.reference(inputs), found).worst_snr_db > 100
    kinds = [type(layer).__name__ for layer in chain.relayered.model.layers]
    assert kinds[:2] == ["InputLayer", "Conv2DTranspose"]
    if case_id.endswith(("k16s8p4", "2d")):
        assert len(kinds) == 2
