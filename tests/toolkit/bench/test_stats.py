import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.bench import stats
from toolkit.bench.plan import Plan
from toolkit.errors import BenchError


def noisy(centre=10.0, spread=0.2, count=40, seed=1):
    return np.abs(np.random.default_rng(seed).normal(centre, spread, count))


def test_summarise_orders_its_percentiles_and_counts():
    s = stats.summarise(noisy())
    assert s.min_ms <= s.p50_ms <= s.p90_ms <= s.p95_ms <= s.p99_ms
    assert s.n == 40 and s.ci_low_ms <= s.p50_ms <= s.ci_high_ms


def test_percentiles_of_a_known_series():
    s = stats.summarise(range(1, 102))
    assert (s.p50_ms, s.p90_ms, s.p95_ms, s.p99_ms, s.iqr_ms) == (51, 91, 96, 100, 50)


def test_outliers_are_counted():
    assert stats.outliers([10.0] * 10 + [10.1] * 10 + [50.0]) == 1
    assert stats.outliers([10.0] * 20) == 0


def test_drift_sees_a_slowing_machine():
    assert stats.drift([10.0] * 10 + [12.0] * 10) == pytest.approx(0.2)
    assert stats.drift([10.0]) == 0.0


def test_summary_is_the_same_every_time():
    assert stats.summarise(noisy()) == stats.summarise(noisy())


@pytest.mark.parametrize("samples", [[], [0.0], [-1.0, 2.0], [float("nan")]])
def test_impossible_samples_are_refused(samples):
    with pytest.raises(BenchError):
        stats.summarise(samples)


def test_paired_ratio_cancels_a_slow_phase():
    slow = np.where(np.arange(40) < 20, 1.0, 3.0)  # half of the rounds on a machine three times slower
    base, cand = noisy(seed=1) * slow, noisy(8.7, seed=2) * slow
    ratio, low, high = stats.paired_ratio(base, cand)
    assert low <= ratio <= high and ratio == pytest.approx(0.87, abs=0.02) and high - low < 0.05
    # twin: unpaired medians cannot see it that well
    assert abs(stats.drift(base)) > 1


def test_paired_ratio_refuses_unequal_series():
    with pytest.raises(BenchError):
        stats.paired_ratio([1.0, 2.0], [1.0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=60))
def test_interval_holds_the_median_and_stays_within_the_samples(samples):
    s = stats.summarise(samples)
    assert min(samples) - 1e-9 <= s.ci_low_ms <= s.p50_ms + 1e-9
    assert s.p50_ms - 1e-9 <= s.ci_high_ms <= max(samples) + 1e-9


def test_plan_accepts_a_steady_measurement():
    assert Plan().objections(stats.summarise(noisy())) == ()


@pytest.mark.parametrize(
    ("samples", "word"),
    [
        (noisy(count=5), "5 runs"),
        (np.concatenate([noisy(count=20), noisy(centre=13, count=20)]), "slower"),
        (np.concatenate([noisy(centre=13, count=20), noisy(count=20)]), "faster"),
        (noisy(spread=4.0), "interquartile"),
        (np.array([10.0, 30.0] * 20), "known to"),
        (np.where(np.arange(40) % 10 == 3, 400.0, noisy(count=40)), "1 run in 20"),
    ],
)
def test_plan_objects(samples, word):
    assert any(word in reason for reason in Plan().objections(stats.summarise(samples)))


def test_plan_stops_at_the_maximum_and_not_before_the_minimum():
    plan = Plan(min_runs=5, max_runs=10, min_seconds=1.0)
    assert not plan.enough(4, 100.0) and plan.enough(5, 1.0) and not plan.enough(9, 0.5) and plan.enough(10, 0.0)


@pytest.mark.parametrize("fields", [{"min_runs": 0}, {"min_runs": 5, "max_runs": 4}, {"threads": ()}])
def test_impossible_plans_are_refused(fields):
    with pytest.raises(BenchError):
        Plan(**fields)


def test_plan_warms_up_by_runs_and_by_time():
    plan = Plan(warmup_runs=3, warmup_seconds=0.5)
    assert not plan.warm(3, 0.1) and not plan.warm(1, 1.0) and plan.warm(3, 0.5)
