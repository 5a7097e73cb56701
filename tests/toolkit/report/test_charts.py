import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.report import charts, format
from toolkit.report.svg import Scale, bounds, ticks


def numbers(markup, attribute):
    return [float(v) for v in re.findall(rf'\b{attribute}="(-?[\d.]+)%?"', markup)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1.00"),
        (12.345, "12.3"),
        (123.45, "123"),
        (1234.5, "1\u202f230"),
        (0.00456, "0.00456"),
        (-0.5, "−0.500"),
        (None, "–"),
        (9.999, "10.0"),
        (1e-7, "1.00e-07"),
    ],
)
def test_sig3(value, text):
    assert format.sig3(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(999, "999 B"), (1000, "1.00 kB"), (23_412_880, "23.4 MB"), (3.6e9, "3.60 GB"), (0, "0 B"), (None, "–")],
)
def test_size(value, text):
    assert format.size(value).replace("\u202f", " ") == text


def test_change_is_signed():
    assert format.change(0.842).startswith("−15.8") and format.change(1.1).startswith("+10.0")


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_ticks_hold_the_values(values):
    low, high = bounds(values)
    marks = ticks(low, high)
    assert marks[0] <= min(values) and marks[-1] >= max(values) and len(marks) <= 14
    assert marks == sorted(set(marks))


def test_scale_clips():
    scale = Scale(low=0, high=10, start=0, end=100)
    assert [scale(v) for v in (-5, 0, 5, 20)] == [0, 0, 50, 100]
    assert Scale(low=1, high=1, start=0, end=100)(1) == 50


@pytest.mark.parametrize(
    ("value", "limit", "higher"),
    [
        (0.84, 0.87, False),
        (1.2, 0.87, False),
        (0.9951, 0.993, True),
        (0.9, 0.993, True),
        (112, 100, True),
        (0.0, 0.1, False),
        (5, None, False),
    ],
)
def test_bullet_stays_inside_and_shows_the_right_side_of_the_limit(value, limit, higher):
    markup = charts.bullet(value, limit, higher_is_better=higher)
    xs = numbers(markup, "x") + numbers(markup, "x1")
    assert all(-0.01 <= x <= 100.01 for x in xs)
    bar = float(re.search(r'width="([\d.]+)%" height="5"', markup).group(1))
    if limit is not None:
        mark = float(re.search(r'x1="([\d.]+)%"[^>]*class="limit"', markup).group(1))
        assert (bar <= mark + 1e-6) == (value <= limit)


def test_stacked_segments_fill_their_share():
    assert numbers(charts.stacked([(1, "a", ""), (3, "b", "")], 4, "l"), "width")[-2:] == [25, 75]


def test_ladder_marks_only_the_hop_below_its_own_gate():
    steps = [charts.Step(hop="onnx", snr_db=120, limit_db=100), charts.Step(hop="tflite result", snr_db=18)]
    assert "bad" not in charts.ladder(steps, "l")
    steps[0] = charts.Step(hop="onnx", snr_db=90, limit_db=100)
    assert charts.ladder(steps, "l").count("step bad") == 1


def test_ladder_shows_bit_identical():
    assert ">=<" in charts.ladder([charts.Step(hop="keras", snr_db=None, limit_db=100)], "l")


def test_ribbon_has_a_cell_for_every_operator_and_seams_where_sides_change():
    markup = charts.ribbon([("u-nnapi", "a"), ("u-nnapi", "b"), ("u-cpu", "c")], "l")
    assert markup.count('class="cell') == 3 and markup.count("seam") == 1


def test_pareto_keeps_what_nothing_beats():
    assert charts.pareto([(1, 1), (2, 3), (3, 2), (2, 2)]) == [(1, 1), (2, 3)]


def test_hovers_are_escaped():
    assert "<b>" not in charts.ribbon([("u-cpu", "<b>")], "<b>")


def test_one_held_up_run_does_not_stretch_the_axis_and_is_not_hidden():
    samples = [1.0 + 0.01 * (i % 7) for i in range(40)] + [50.0]
    for markup in (
        charts.strip([("a", "v-base", samples)], "l"),
        charts.boxes([charts.BoxSeries(name="a", css="v-base", samples=samples, ci_low=1.0, ci_high=1.1)], "l"),
    ):
        assert "1 run off the scale, up to 50.0" in markup
        assert "−" not in markup
    assert "off the scale" not in charts.strip([("a", "v-base", samples[:-1])], "l")


def test_time_axes_never_go_below_zero():
    assert "−" not in charts.strip([("a", "v-base", [0.01, 0.02, 0.9, 0.01])], "l")
