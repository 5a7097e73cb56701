"""Estimates of real files: which unit, how long, and that it is always said."""

import re

import numpy as np
import pytest
from pydantic import ValidationError

from converters.tflite_graph.read import read_tflite
from tests.toolkit.delegates.small_graphs import convert, weights
from toolkit.estimate.devices import find_device
from toolkit.estimate.estimator import estimate_file, total
from toolkit.estimate.tflite_work import file_work

SEVEN = find_device("snapdragon-7-gen-3")
EIGHT = find_device("snapdragon-8-gen-3")
KERNEL = weights(3, 3, 96, 96)


def _network(x):
    import tensorflow as tf

    for _ in range(6):
        x = tf.nn.relu(tf.nn.conv2d(x, KERNEL * 0.02, 1, "SAME"))
    return x


@pytest.fixture(scope="module")
def files():
    shape = (1, 64, 64, 96)
    return {"float": convert(_network, shape), "int8": convert(_network, shape, int8=True)}


def test_work_of_a_file_is_its_multiply_adds_and_bytes(files):
    ops = [op for op in file_work(read_tflite(files["float"])) if op.work.macs]
    assert len(ops) == 6
    assert {op.work.macs for op in ops} == {64 * 64 * 96 * 96 * 9}
    assert {op.work.weights for op in ops} == {96 * 96 * 9 + 96}
    assert {op.work.activations for op in ops} == {2 * 64 * 64 * 96}
    assert {op.format for op in file_work(read_tflite(files["int8"])) if op.work.macs} == {"w8a8"}


def test_eight_bits_run_on_the_npu_and_floats_of_a_seven_series_on_the_cpu(files):
    assert estimate_file(files["int8"], "p", SEVEN, "nnapi").unit.startswith("NPU")
    on_cpu = estimate_file(files["float"], "p", SEVEN, "nnapi")
    assert on_cpu.unit == "CPU"
    assert "computes no floats" in " ".join(on_cpu.notes)
    assert estimate_file(files["float"], "p", EIGHT, "nnapi").unit.startswith("NPU")


def test_a_faster_device_is_estimated_faster_and_the_npu_faster_than_the_cpu(files):
    slow, fast = (estimate_file(files["int8"], "p", device, "nnapi").ms for device in (SEVEN, EIGHT))
    assert fast < slow < estimate_file(files["int8"], "p", SEVEN, "xnnpack").ms


def test_an_estimate_says_estimated_device_unit_and_error(files):
    for target in ("nnapi", "gpu", "xnnpack"):
        found = estimate_file(files["int8"], "p", SEVEN, target)
        assert found.estimated is True
        assert re.search(r"estimated for Qualcomm Snapdragon 7 Gen 3 on (NPU|GPU|CPU)", found.sentence)
        assert "error" in found.sentence
        if "GPU" in found.unit_ms:
            assert found.median_error is None and found.low_ms is None
        else:
            assert found.low_ms < found.ms < found.high_ms


def test_an_estimate_cannot_be_called_measured(files):
    fields = estimate_file(files["int8"], "p", SEVEN, "nnapi").model_dump()
    with pytest.raises(ValidationError):
        type(estimate_file(files["int8"], "p", SEVEN, "nnapi")).model_validate({**fields, "estimated": False})


def test_total_adds_parts_and_runs(files):
    parts = [estimate_file(files[name], name, SEVEN, "nnapi") for name in ("float", "int8")]
    both = total(parts, audio_seconds=1.0, runs=[1, 10])
    assert both.ms == pytest.approx(parts[0].ms + 10 * parts[1].ms)
    assert both.median_error == max(part.median_error for part in parts)
    assert sum(both.unit_ms.values()) == pytest.approx(both.ms)


def test_unknown_npu_falls_to_the_cpu_and_says_so(files):
    found = estimate_file(files["int8"], "p", find_device("tensor-g4"), "nnapi")
    assert found.unit == "CPU"
    assert "no figures" in " ".join(found.notes)


def test_reading_weights_bounds_a_single_row(files):
    """A matrix times one vector on the CPU takes the time its weights need to come from memory."""
    matrix = weights(2048, 2048)

    def one_row(x):
        import tensorflow as tf

        return tf.matmul(x, matrix)

    found = estimate_file(convert(one_row, (1, 2048)), "p", SEVEN, "xnnpack")
    assert found.ms == pytest.approx(matrix.nbytes / (0.7 * 25.6e9) * 1e3, rel=0.05)
    assert np.isfinite(found.ms)
