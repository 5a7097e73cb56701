"""The wrapped model computes what the int8 file computes."""

from __future__ import annotations

import numpy as np

from converters.keras_graph.run import keras_runner
from converters.keras_to_tflite import TfliteOptions, to_tflite
from converters.tflite_graph.int8_weights import rounded_rows
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.compress.small_vocoder import small_inputs, small_vocoder
from tests.toolkit.compress.test_unroundable import attention_part, given
from toolkit.compress.calibrate import observe_statistics, search_ranges
from toolkit.compress.keras_qat import WrapOptions, trained_ranges, unwrap_weights, weight_only_layers, wrap
from toolkit.compress.precision import plan_precision
from toolkit.compress.quantised_tensors import quantised_tensors
from toolkit.compress.streamline import streamline
from toolkit.recipe.schema import PrecisionPolicy, PrecisionRule

CALIBRATION = small_inputs(5)
POLICY = PrecisionPolicy(
    default="int8",
    rules=tuple(
        PrecisionRule(match=name, use="float32", because="chosen by the test") for name in ("dec/Tanh", "dec.conv_post")
    ),
)


def _prepared():
    relayered = streamline(small_vocoder(), CALIBRATION, min_snr_db=-100.0).relayered
    plan = plan_precision(relayered, POLICY, "decoder")
    statistics = observe_statistics(relayered, CALIBRATION, with_gain=True)
    names = quantised_tensors(relayered.model, plan).activations
    return relayered, plan, search_ranges(relayered, CALIBRATION, statistics, names)


def test_wrapped_model_rounds_like_the_file():
    relayered, plan, ranges = _prepared()
    wrapped = wrap(relayered.model, plan, ranges)
    file = to_tflite(wrapped, relayered.interface, TfliteOptions(quantization="qat_int8"))
    simulated, real = keras_runner(wrapped, relayered.interface), tflite_runner(file, relayered.interface)
    exact = keras_runner(relayered.model, relayered.interface)
    rounding = difference = 0.0
    for arrays in CALIBRATION:
        rounding += float(np.square(exact(arrays)["audio"] - real(arrays)["audio"]).sum())
        difference += float(np.square(simulated(arrays)["audio"] - real(arrays)["audio"]).sum())
    # Ties of rounding fall differently in integer arithmetic; the rest must agree.
    assert 0 < difference < 0.5 * rounding


def test_weights_and_ranges_survive_wrapping_for_training():
    relayered, plan, ranges = _prepared()
    student = wrap(relayered.model, plan, ranges, WrapOptions(training=True))
    found = trained_ranges(student, ranges)
    assert found.keys() == ranges.keys()
    for name, ends in ranges.items():
        np.testing.assert_allclose(found[name], ends, rtol=1e-6)
    target = small_vocoder(seed=5)
    target = streamline(target, CALIBRATION, min_snr_db=-100.0).relayered
    unwrap_weights(student, target.model)
    for layer in relayered.model.layers:
        for before, after in zip(layer.get_weights(), target.model.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)


def test_training_sees_int8_weights_as_the_file_stores_them():
    part = attention_part()
    plan = plan_precision(part, PrecisionPolicy(default="int8-weights"), "part")
    linear = weight_only_layers(part.model, plan)
    assert linear == {"att.q/MatMul", "att.k/MatMul", "att.v/MatMul", "out/MatMul"}
    student = wrap(part.model, plan, {}, WrapOptions(training=True))
    rounded = attention_part()
    for name in linear:
        layer = rounded.model.get_layer(name)
        kernel, bias = layer.get_weights()
        stored, scales = rounded_rows(np.ascontiguousarray(kernel.T))
        layer.set_weights([(stored * scales[:, None]).T.astype(np.float32), bias])
    seen, stored, exact = (keras_runner(model, part.interface) for model in (student, rounded.model, part.model))
    for arrays in given(3):
        np.testing.assert_allclose(seen(arrays)["logits"], stored(arrays)["logits"], atol=1e-4)
        assert np.abs(exact(arrays)["logits"] - stored(arrays)["logits"]).max() > 1e-3
    # Export leaves them alone: the flatbuffer step rounds them.
    assert not any(name.startswith("quant_") for name in (layer.name for layer in wrap(part.model, plan, {}).layers))
