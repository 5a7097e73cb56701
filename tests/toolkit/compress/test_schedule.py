import pytest

from converters import frameworks
from toolkit.compress.schedule import learning_rate_share, pruning_schedule


@pytest.mark.parametrize("steps", [1, 2, 7, 200, 1000])
def test_equals_tfmots_schedule_and_reaches_the_target(steps):
    plan = pruning_schedule(0.6, steps)
    assert 1 <= plan.end_step <= steps and plan.end_step % plan.frequency == 0
    theirs = frameworks.tfmot().sparsity.keras.PolynomialDecay(
        0.0, plan.target_ratio, begin_step=0, end_step=plan.end_step, power=plan.power, frequency=plan.frequency
    )
    for step in sorted({1, 2, steps // 2, plan.end_step, steps}):
        changes, ratio = theirs(step)
        assert bool(changes) == plan.changes_at(step)
        assert float(ratio) == pytest.approx(plan.ratio_at(step), abs=1e-6)
    assert plan.changes_at(plan.end_step) and plan.ratio_at(plan.end_step) == pytest.approx(0.6)


def test_zeros_only_grow():
    plan = pruning_schedule(0.8, 100)
    ratios = [plan.ratio_at(step) for step in range(1, 101)]
    assert ratios == sorted(ratios)


def test_the_learning_rate_holds_while_masks_grow_and_then_falls():
    end = pruning_schedule(0.8, 100).end_step
    rates = [learning_rate_share(step, 100) for step in range(1, 101)]
    assert rates[:end] == [1.0] * end
    assert rates == sorted(rates, reverse=True) and 0.0 < rates[-1] < 0.01
