import functools

import pytest

from tests.toolkit.delegates.small_graphs import convert, weights
from toolkit.bench import operators
from toolkit.bench.operators import time_operators
from toolkit.errors import ToolError


@functools.cache
def net(int8=False, float16=False):
    import converters.frameworks as frameworks

    tf = frameworks.tensorflow()
    wide, narrow = weights(1, 9, 64, 64), weights(1, 1, 64, 8)

    def f(x):
        y = tf.nn.leaky_relu(tf.nn.conv2d(x, wide, 1, "SAME"), 0.1)
        y = y + tf.nn.leaky_relu(tf.nn.conv2d(y, wide, 1, "SAME"), 0.1)
        return tf.tanh(tf.nn.conv2d(y, narrow, 1, "SAME"))

    return convert(f, (1, 1, 512, 64), int8=int8, float16=float16)


def heavy_one_first(found):
    """The convolutions take most, and the operators one by one about as long as the whole: 512 x 64 x 64 x 9 twice."""
    first, *rest = found.times
    heavy = first.op_type == "CONV_2D" and first.ms > sum(each.ms for each in rest)
    return heavy and 0.2 < found.alone_ms / found.whole_ms < 5


def measured(model, attempts=8):
    """A measurement that nothing else on the machine spoilt, or the last: what is wrong in itself stays wrong."""
    for _ in range(attempts):
        found = time_operators(model, "p", "result", threads=1, runs=3)
        if heavy_one_first(found):
            break
    return found


@pytest.mark.parametrize(("int8", "float16"), [(False, False), (True, False), (False, True)])
def test_every_operator_is_timed_and_the_heavy_one_comes_first(int8, float16):
    found = measured(net(int8, float16))
    counts = {t.op_type: t.count for t in found.times}
    assert counts["CONV_2D"] == 3 and counts["LEAKY_RELU"] == 2 and counts["ADD"] == 1 and counts["TANH"] == 1
    assert "DEQUANTIZE" not in counts or int8  # a float16 constant is widened when the file is loaded, not on each run
    assert heavy_one_first(found), found
    assert not found.skipped and all("alone" in t.how for t in found.times)
    assert [run.index for run in found.runs] == sorted({run.index for run in found.runs})
    assert sum(run.ms for run in found.runs) == pytest.approx(found.alone_ms)
    assert len(found.runs) == sum(t.count for t in found.times) and all(run.name for run in found.runs)


def test_times_in_another_unit_are_caught_however_often_they_are_taken(monkeypatch):
    """The twin: what is wrong by itself is not excused as a busy machine."""
    real = operators._alone_ms
    monkeypatch.setattr(operators, "_alone_ms", lambda *given: 1000 * real(*given))
    assert not heavy_one_first(measured(net(), attempts=3))


def test_damaged_file_is_refused():
    with pytest.raises(ToolError):
        time_operators(b"not a model at all", "p", "result")
