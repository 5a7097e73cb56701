"""LEAKY_RELU as a maximum: the same numbers up to a rounding tie, and only in 8 bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from converters.tflite_graph.leaky_relu import without_leaky_relu
from converters.tflite_graph.read import read_tflite
from tests.converters.tflite_graph.one_operator import run
from tests.toolkit.delegates.gpu_sweep.case import floats, int8, of


def _run(content: bytes, values: np.ndarray) -> np.ndarray:
    return run(content, values).astype(int)


EVERY = np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 32, 8)


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.2, 0.5])
@pytest.mark.parametrize(("scale", "zero"), [(0.05, 0), (0.03, -20), (0.041, 7)], ids=str)
def test_every_value_stays_within_one_step(alpha, scale, zero):
    content = of("LEAKY_RELU", int8(1, 1, 32, 8), to=int8(scale=scale, zero=zero), alpha=alpha).write()
    rewritten, changed = without_leaky_relu(content)
    assert changed == 1
    kinds = [op.kind for op in read_tflite(rewritten).ops]
    assert kinds == (["MUL", "MAXIMUM"] if (scale, zero) == (0.05, 0) else ["MUL", "QUANTIZE", "MAXIMUM"])
    difference = np.abs(_run(rewritten, EVERY) - _run(content, EVERY))
    assert difference.max() <= 1 and (difference > 0).mean() <= 0.125  # ties: every fourth value at 0.5


def test_another_slope_is_seen():
    content = of("LEAKY_RELU", int8(1, 1, 32, 8), alpha=0.1).write()
    other = of("LEAKY_RELU", int8(1, 1, 32, 8), alpha=0.2).write()
    rewritten, _ = without_leaky_relu(other)
    assert np.abs(_run(rewritten, EVERY) - _run(content, EVERY)).max() > 5


@pytest.mark.parametrize(
    "case",
    [
        of("LEAKY_RELU", floats(1, 1, 32, 8), alpha=0.1),
        of("LEAKY_RELU", int8(1, 1, 32, 8), alpha=1.5),
        of("RELU", int8(1, 1, 32, 8)),
    ],
    ids=lambda case: case.id,
)
def test_what_is_not_such_a_function_stays_byte_for_byte(case):
    content = replace(case).write()
    assert without_leaky_relu(content) == (content, 0)
