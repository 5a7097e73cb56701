from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from converters.errors import ForeignToolFailed, InputError
from converters.keras_to_tflite import TfliteOptions, to_tflite
from converters.parity import compare
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_intermediates, tflite_runner
from tests.converters.chain import Chain, build


@pytest.fixture(scope="module")
def decoder() -> Chain:
    return build("vits_decoder")


def _quantised(chain: Chain, **options: object) -> bytes:
    samples = [chain.case.inputs(seed) for seed in range(4)]
    return to_tflite(
        chain.relayered.model,
        chain.relayered.interface,
        TfliteOptions(representative_dataset=samples, **options),
    )


def test_signature_has_the_names_of_the_spec(decoder: Chain) -> None:
    graph = read_tflite(decoder.tflite())
    (signature,) = graph.signatures
    assert signature.key == "serving_default"
    assert list(signature.inputs) == [tensor.name for tensor in decoder.case.spec.inputs]
    assert list(signature.outputs) == [tensor.name for tensor in decoder.case.spec.outputs]
    assert [graph.tensors[i].shape for i in graph.inputs] == [(1, 1, 12, 8), (1, 1, 12, 1)]


def test_same_model_same_bytes(decoder: Chain) -> None:
    again = build("vits_decoder")
    assert decoder.tflite() == decoder.tflite() == again.tflite()


def test_same_bytes_in_another_process(decoder: Chain) -> None:
    code = (
        "import hashlib; from tests.converters.chain import build; "
        "print('hash', hashlib.sha256(build('vits_decoder').tflite()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path.cwd())}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True, timeout=300
    )
    expected = hashlib.sha256(decoder.tflite()).hexdigest()
    assert f"hash {expected}" in result.stdout


def test_dynamic_range_stores_int8_weights() -> None:
    chain = build("flatten_linear")
    content = to_tflite(chain.relayered.model, chain.relayered.interface, TfliteOptions(quantization="dynamic_range"))
    assert read_tflite(content).ops
    inputs = chain.case.inputs(0)
    report = compare(chain.reference(inputs), tflite_runner(content, chain.relayered.interface)(inputs))
    assert report.worst_snr_db > 20


def test_int8_runs_with_float_and_with_int8_interface(decoder: Chain) -> None:
    inputs = decoder.case.inputs(1)
    for io_dtype in ("float32", "int8"):
        content = _quantised(decoder, quantization="int8", io_dtype=io_dtype)
        graph = read_tflite(content)
        assert {graph.tensors[op.inputs[1]].dtype for op in graph.ops if op.kind == "CONV_2D"} == {"INT8"}
        assert {graph.tensors[i].dtype for i in graph.inputs} == {io_dtype.upper()}
        report = compare(decoder.reference(inputs), tflite_runner(content, decoder.relayered.interface)(inputs))
        assert report.worst_snr_db > 10


def test_int16x8_is_more_exact_than_int8(decoder: Chain) -> None:
    inputs = decoder.case.inputs(1)
    expected = decoder.reference(inputs)
    worst = {}
    for quantization in ("int8", "int16x8"):
        content = _quantised(decoder, quantization=quantization)
        worst[quantization] = compare(
            expected, tflite_runner(content, decoder.relayered.interface)(inputs)
        ).worst_snr_db
    assert worst["int16x8"] > worst["int8"] + 3


def test_ranges_need_data(decoder: Chain) -> None:
    with pytest.raises(InputError, match="representative"):
        to_tflite(decoder.relayered.model, decoder.relayered.interface, TfliteOptions(quantization="int8"))


def test_model_tensorflow_cannot_write_is_a_foreign_failure() -> None:
    import tensorflow as tf
    import tf_keras

    from converters.spec import Interface, PartSpec, TensorSpec

    data = tf_keras.Input(batch_size=1, shape=(4, 4))
    model = tf_keras.Model(data, tf_keras.layers.Lambda(tf.linalg.det)(data))
    spec = PartSpec(
        name="det", inputs=(TensorSpec(name="x", shape=(1, 4, 4)),), outputs=(TensorSpec(name="y", shape=(1,)),)
    )
    with pytest.raises(ForeignToolFailed, match=r"TensorFlow 2\.19"):
        to_tflite(model, Interface.torch(spec))


def test_intermediates_carry_torch_names(decoder: Chain) -> None:
    inputs = decoder.case.inputs(1)
    names = decoder.relayered.torch_names
    found = tflite_intermediates(decoder.tflite(), decoder.relayered.interface, inputs, names)
    assert "conv_pre/Conv" in found
    assert "resblocks.0.convs.1/Conv" in found
    output = tflite_runner(decoder.tflite(), decoder.relayered.interface)(inputs)
    last = list(found.values())[-1]
    assert np.allclose(np.sort(last.ravel()), np.sort(next(iter(output.values())).ravel()), atol=1e-5)
