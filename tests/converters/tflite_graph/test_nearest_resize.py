"""16-bit nearest resizes along time as copies: the same numbers to the last bit, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest

from converters.tflite_graph.nearest_resize import without_wide_nearest_resize
from converters.tflite_graph.npu_forms import for_integer_npu
from converters.tflite_graph.read import read_tflite
from tests.converters.tflite_graph.one_operator import run
from tests.toolkit.delegates.gpu_sweep.case import const, floats, int8, int16, of
from toolkit.delegates.place import place


def _resize(source, height: int, width: int, *, half_pixels: bool = False) -> bytes:
    return of(
        "RESIZE_NEAREST_NEIGHBOR",
        source,
        const([height, width]),
        version=4,
        align_corners=False,
        half_pixel_centers=half_pixels,
    ).write()


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("copies", [2, 8])
def test_every_value_is_repeated_as_it_was_and_the_npu_takes_it(channels, copies):
    content = _resize(int16(1, 1, 12, channels), 1, 12 * copies)
    rewritten, changed = without_wide_nearest_resize(content)
    assert changed == 1 and for_integer_npu(content) == rewritten
    assert [op.kind for op in read_tflite(rewritten).ops] == ["RESHAPE", "CONCATENATION", "RESHAPE"]
    values = np.random.default_rng(0).integers(-32768, 32768, (1, 1, 12, channels)).astype(np.int16)
    expected = run(content, values)
    assert np.array_equal(run(rewritten, values), expected)
    assert np.array_equal(expected, values.repeat(copies, axis=2))
    assert not place(content, "p", "qnn").delegated_ops and place(rewritten, "p", "qnn").delegated_ops == 3
    # The twin: copies laid one behind the other are another signal.
    assert not np.array_equal(np.tile(values, (1, 1, copies, 1)), expected)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(_resize(floats(1, 1, 12, 3), 1, 24), id="float"),
        pytest.param(_resize(int8(1, 1, 12, 3), 1, 24), id="8 bits"),
        pytest.param(_resize(int16(1, 4, 12, 3), 8, 24), id="two axes"),
        pytest.param(_resize(int16(1, 1, 12, 3), 1, 18), id="no whole factor"),
        pytest.param(_resize(int16(1, 1, 12, 3), 1, 24, half_pixels=True), id="half pixels"),
    ],
)
def test_any_other_resize_stays_byte_for_byte(content):
    assert without_wide_nearest_resize(content) == (content, 0)
