"""Float16 as a phone's GPU computes it, against sums made by hand, and what it does to graphs."""

from __future__ import annotations

import numpy as np
import pytest

from converters.tflite_graph.read import read_tflite
from tests.toolkit.delegates.gpu_sweep import CASES
from tests.toolkit.delegates.small_graphs import convert, weights
from toolkit.delegates.float16_arithmetic import ACCUMULATED, accumulate, rounded
from toolkit.delegates.float16_emulation import MODEL, emulate_float16
from toolkit.delegates.made_inputs import made_inputs
from toolkit.errors import DelegateError

RNG = np.random.default_rng(3)


def tf():
    from converters import frameworks

    return frameworks.tensorflow()


def _chain(x):
    return tf().nn.conv2d(
        tf().nn.leaky_relu(tf().nn.conv2d(x, weights(1, 3, 8, 8), 1, "SAME")), weights(1, 5, 8, 8), 1, "SAME"
    )


def test_a_fully_connected_sum_is_the_one_made_by_hand():
    data, kernel = (
        rounded(RNG.standard_normal((2, 10)).astype(np.float32)),
        rounded(RNG.standard_normal((3, 10)).astype(np.float32)),
    )
    expected = np.zeros((2, 3), np.float16)
    for row in range(2):
        for column in range(3):
            total = None
            for first in range(0, 10, 4):
                four = np.float16(
                    np.sum(data[row, first : first + 4] * kernel[column, first : first + 4], dtype=np.float64)
                )
                total = four if total is None else np.float16(total + four)
            expected[row, column] = total
    op = next(o for c in CASES if c.example.kind == "FULLY_CONNECTED" for o in read_tflite(c.write()).ops)
    assert np.array_equal(accumulate(op, [data, kernel, None], (2, 3)), expected.astype(np.float32))


FLOAT_CASES = [
    case
    for case in CASES
    if case.example.kind in ACCUMULATED
    and case.example.outputs[0].dtype == "FLOAT32"
    and all(s is None or s.dtype in ("FLOAT32", "INT32") for s in case.example.inputs)
]


@pytest.mark.parametrize("case", FLOAT_CASES[::3], ids=lambda case: case.id)
def test_sums_in_float16_are_float32s_to_its_precision_and_no_better(case):
    content = case.write()
    found = emulate_float16(content, made_inputs(read_tflite(content)))
    level = min(found.snr_db.values())
    assert 45 < level < 90, level
    grouped = case.example.kind == "CONV_2D" and case.example.inputs[0].shape[-1] != case.example.inputs[1].shape[-1]
    same = case.example.kind == "TRANSPOSE_CONV" and case.example.options["padding"] == "SAME"
    assert bool(found.not_modelled) is (grouped or same)  # these sums are made in float32, and it says so


def test_float16_accumulators_lose_more_than_float32_ones_and_each_says_what_it_is():
    content = convert(_chain, (1, 1, 64, 8))
    inputs = made_inputs(read_tflite(content))
    half = emulate_float16(content, inputs)
    single = emulate_float16(content, inputs, accumulator="float32")
    assert min(half.snr_db.values()) < min(single.snr_db.values()) < 80
    assert half.model == MODEL["float16"] != single.model
    assert half.first_overflow is None and half.first_underflow is None


def test_the_first_operator_that_overflows_is_named():
    content = convert(lambda x, y: tf().tanh(((x * y) + 1.0) * 1e-5), (1, 4), (1, 4))
    wide = {name: np.full((1, 4), 300.0, np.float32) for name in made_inputs(read_tflite(content))}
    found = emulate_float16(content, wide)
    assert found.first_overflow is not None and found.first_overflow.kind == "MUL"
    assert found.first_overflow.peak == 90000.0 and found.first_overflow.overflowed == 4
    narrow = {name: value / 100 for name, value in wide.items()}
    assert emulate_float16(content, narrow).first_overflow is None


def test_the_first_operator_that_underflows_is_named():
    content = convert(lambda x, y: (x * y) + 1.0, (1, 4), (1, 4))
    small = {name: np.full((1, 4), 1e-5, np.float32) for name in made_inputs(read_tflite(content))}
    found = emulate_float16(content, small)
    assert found.first_underflow is not None and found.first_underflow.vanished_ratio == 1.0
    assert found.first_underflow.kind == "MUL"


def test_an_infinite_output_has_no_level():
    content = convert(lambda x, y: (x * y) + 1.0, (1, 4), (1, 4))
    wide = {name: np.full((1, 4), 300.0, np.float32) for name in made_inputs(read_tflite(content))}
    assert set(emulate_float16(content, wide).snr_db.values()) == {float("-inf")}


def test_a_missing_input_is_one_error():
    with pytest.raises(DelegateError, match="no value for input"):
        emulate_float16(convert(lambda x: x + 1.0, (1, 4)), {})
