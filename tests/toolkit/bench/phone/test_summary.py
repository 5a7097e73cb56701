"""Interval, share and validity worked out from what the tool printed."""

import pytest

from tests.toolkit.bench.phone import outputs
from toolkit.bench.phone.log_text import parse_log
from toolkit.bench.phone.op_table import Profile, parse_profile
from toolkit.bench.phone.summary import mean_interval, time_ratio

TIMING = parse_log(outputs.log()).timing


def of(*averages, std=0.5, runs=100):
    return tuple(TIMING.model_copy(update={"avg_ms": a, "std_ms": std, "runs": runs}) for a in averages)


def test_interval_is_students_over_processes():
    mean, low, high, how = mean_interval(of(10.0, 11.0, 12.0))
    half = 4.303 * 1.0 / 3**0.5  # tables of t, two degrees of freedom; standard deviation of 10, 11, 12 is 1
    assert (mean, low, high) == pytest.approx((11.0, 11.0 - half, 11.0 + half)) and "3 processes" in how


def test_interval_is_never_narrower_than_inside_a_process_and_never_negative():
    mean, low, high, _ = mean_interval(of(10.0, 10.0))
    assert (low, high) == pytest.approx((10 - 0.098, 10 + 0.098)) and mean == 10.0
    assert mean_interval(of(1.0, 30.0))[1] == 0.0


def test_interval_of_one_process_says_that_it_is_too_narrow():
    _, low, high, how = mean_interval(of(10.0))
    assert (low, high) == pytest.approx((10 - 0.098, 10 + 0.098)) and "one process" in how


def test_share_of_time_is_the_delegates_own():
    profile = parse_profile(outputs.profile(outputs.NNAPI_OPS))
    assert time_ratio(profile, "nnapi") == pytest.approx((41.2 + 20.75) / 80.0)
    assert time_ratio(profile, "gpu") is None  # NNAPI's kernels are not the GPU's
    inside = parse_profile(outputs.profile(outputs.XNNPACK_OPS))
    assert time_ratio(inside, "xnnpack") == pytest.approx(
        (0.407 + 0.051 * 13 + 0.024) / (0.203 + 0.407 + 0.663 + 0.024)
    )
    assert time_ratio(inside, "nnapi") is None  # XNNPACK took what NNAPI left
    assert time_ratio(Profile(ops=()), "nnapi") is None
