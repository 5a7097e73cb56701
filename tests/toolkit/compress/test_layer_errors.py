"""Every tensor of a file against its layer in float: the fault is found where it was put, and nowhere else."""

import math

import numpy as np
import pytest

from converters.tflite_graph.read import read_tflite
from tests.toolkit.compress.small_parts import folded_part, inputs, normed_part, reshaped_part, residual_part
from toolkit.compress.audit import layer_tensors
from toolkit.compress.layer_errors import layer_errors, tensor_bytes
from toolkit.compress.run import compress_part
from toolkit.recipe.schema import Compression, PrecisionPolicy, PrecisionRule

PLAIN = Compression(equalise=False)
JUDGED = inputs(2, seed=9)


def made(part, default="int8", rules=(), settings=PLAIN):
    policy = PrecisionPolicy(
        default=default, rules=tuple(PrecisionRule(match=m, use=u, because="a reason for it") for m, u in rules)
    )
    return compress_part(part, policy, settings, inputs(6))


def errors(compressed, content=None):
    found = layer_errors(content or compressed.tflite, compressed.relayered, compressed.plan, JUDGED)
    return {error.node: error for error in found}


def _order(compressed):
    return [layer.name for layer in compressed.relayered.model.layers]


@pytest.mark.parametrize("part", [residual_part, reshaped_part, normed_part, folded_part])
def test_a_float_file_is_its_layers(part):
    """Also proves that tensors are held against the right layers: any other would not agree."""
    found = errors(made(part(), "float32"))
    assert len(found) >= 3
    assert min(error.snr_db for error in found.values()) > 110.0
    assert {error.precision for error in found.values()} == {"float32"}


def test_a_gain_folded_into_a_matrix_is_not_its_value():
    """The twin: taken for the value of what is computed first, the matrix is held against the norm."""
    compressed = made(normed_part(), "float32")
    names = _order(compressed)
    right, wrong = (layer_tensors(compressed.tflite, compressed.plan, order) for order in (names, names[::-1]))
    assert {"att.k/MatMul", "att.v/MatMul"} <= set(right) and not {"att.k/MatMul", "att.v/MatMul"} <= set(wrong)


@pytest.mark.parametrize("equalise", [False, True])
def test_rounding_gathers_along_depth(equalise):
    found = errors(made(residual_part(), settings=Compression(equalise=equalise)))
    first, last = found["dec/Relu + dec.conv_pre/Conv"], found["dec.conv_post/Conv"]
    assert 25.0 < last.snr_db < first.snr_db < 50.0
    assert last.own_snr_db > last.snr_db + 3.0  # most of its error came with its input
    assert [error.index for error in found.values()] == sorted(error.index for error in found.values())


def test_the_last_error_is_that_of_the_file():
    from converters.keras_graph.run import keras_runner
    from converters.tflite_graph.run import tflite_runner

    compressed = made(residual_part())
    run = tflite_runner(compressed.tflite, compressed.relayered.interface)
    reference = keras_runner(compressed.relayered.model, compressed.relayered.interface)
    power = noise = 0.0
    for arrays in JUDGED:
        wanted, got = reference(arrays)["audio"], run(arrays)["audio"]
        power, noise = power + float(np.square(wanted).sum()), noise + float(np.square(wanted - got).sum())
    assert errors(compressed)["dec.conv_post/Conv"].snr_db == pytest.approx(10 * math.log10(power / noise), abs=0.5)


def test_precision_of_a_layer_shows_in_its_own_error():
    rounded = errors(made(residual_part(), rules=[("dec.conv_post", "float32")]))
    kept = rounded["dec.conv_post/Conv"]
    assert kept.precision == "float32" and kept.own_snr_db > 100.0
    assert rounded["dec.resblocks.0.convs.0/Conv"].own_snr_db < 50.0


@pytest.mark.parametrize("layer", ["dec.resblocks.0.convs.0/Conv", "dec.conv_post/Conv"])
def test_a_spoilt_kernel_is_found_by_its_name(layer):
    """Twin: one kernel of the file is altered after everything was checked; its layer stands out, the next do not."""
    compressed = made(residual_part(), "float32")
    graph = read_tflite(compressed.tflite)
    tensor = layer_tensors(compressed.tflite, compressed.plan, _order(compressed))[layer].index
    op = next(op for op in graph.ops if tensor in op.outputs)
    kernel = graph.tensors[op.inputs[1]].data
    held = np.ascontiguousarray(kernel).tobytes()
    assert compressed.tflite.count(held) == 1
    altered = kernel.copy()
    altered.reshape(-1)[:12] += 0.3
    spoilt = compressed.tflite.replace(held, np.ascontiguousarray(altered).tobytes())
    found = errors(compressed, spoilt)
    assert found[layer].own_snr_db < 30.0
    assert min(error.own_snr_db for node, error in found.items() if node != layer) > 110.0
    after = [error for error in found.values() if error.index >= found[layer].index]
    assert after[0].snr_db < 30.0 and all(error.snr_db < 60.0 for error in after)


def test_memory_is_known_before_it_is_taken():
    compressed = made(residual_part(), "float32")
    assert tensor_bytes(compressed.tflite) == 4 * 16 * (7 * 8 + 4)
