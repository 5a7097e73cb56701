"""How wrong the estimates are, on measurements that were not used for them."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.estimate.calibrate import calibration
from toolkit.estimate.fit import fit_cpu, fit_npu
from toolkit.estimate.published import published
from toolkit.estimate.validate import leave_both_out, leave_one_device_out, leave_one_model_out


@pytest.mark.parametrize(("unit", "limit"), [("NPU", 0.26), ("CPU", 0.22)])
def test_a_device_left_out_is_estimated_within_a_third(unit, limit):
    found = leave_one_device_out(published(), unit)
    assert len(found.rows) == sum(row.unit == unit for row in published())
    assert found.median_error <= limit  # the aim is 0.35


def test_a_network_left_out_is_estimated_worse_and_it_is_known_how_much():
    found = leave_one_model_out(published(), "NPU")
    assert found.median_error == pytest.approx(calibration().npu_error.model_out, abs=0.01)
    assert found.median_error > leave_one_device_out(published(), "NPU").median_error


def test_shuffled_measurements_are_estimated_much_worse():
    rows = [row for row in published() if row.unit == "NPU"]
    times = np.random.default_rng(0).permutation([row.ms for row in rows])
    shuffled = [replace(row, ms=float(ms)) for row, ms in zip(rows, times, strict=True)]
    assert leave_one_device_out(shuffled, "NPU").median_error > 3 * leave_one_device_out(rows, "NPU").median_error


def test_shuffled_devices_are_estimated_worse():
    """What the model knows of a device matters: with another device's figures it is wrong."""
    rows = [row for row in published() if row.unit == "NPU"]
    devices = list({row.device.id: row.device for row in rows}.values())
    other = dict(zip([d.id for d in devices], [*devices[1:], devices[0]], strict=True))
    mixed = [replace(row, device=other[row.device.id]) for row in rows]
    assert leave_one_device_out(mixed, "NPU").median_error > 1.3 * leave_one_device_out(rows, "NPU").median_error


def test_nothing_of_the_left_out_device_reaches_its_estimate():
    rows = list(published())
    slower = [replace(row, ms=row.ms * 10) if row.device.id == "qcs6490" else row for row in rows]
    ours, theirs = (leave_one_device_out(each, "NPU") for each in (rows, slower))
    for before, after, row in zip(ours.ratios, theirs.ratios, ours.rows, strict=True):
        if row.device.id == "qcs6490":
            assert after == pytest.approx(before / 10)


def test_packaged_prices_are_what_calibration_gives():
    stored = calibration()
    npu = fit_npu([row for row in published() if row.unit == "NPU"])
    assert np.allclose(npu.gmac_ms, stored.npu.gmac_ms, atol=0.02)
    assert npu.per_log_tops == pytest.approx(stored.npu.per_log_tops, abs=0.01)
    cpu = fit_cpu([row for row in published() if row.unit == "CPU"])
    assert np.allclose(cpu.over_peak, stored.cpu.over_peak, atol=0.02)


def test_packaged_errors_are_what_leaving_out_gives():
    stored = calibration()
    for unit, error in (("NPU", stored.npu_error), ("CPU", stored.cpu_error)):
        assert leave_one_device_out(published(), unit).median_error == pytest.approx(error.device_out, abs=0.01)
    both = leave_both_out(published(), "CPU")
    assert both.median_error == pytest.approx(stored.cpu_error.both_out, abs=0.01)
    assert both.quantile_ratio(0.9) == pytest.approx(stored.cpu_error.high_ratio, abs=0.03)


def test_a_tenth_of_the_left_out_measurements_lie_outside_on_either_side():
    found, error = leave_one_device_out(published(), "NPU"), calibration().npu_error
    inside = np.mean((found.ratios >= error.low_ratio) & (found.ratios <= error.high_ratio))
    assert inside >= 0.8
