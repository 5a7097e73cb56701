"""The one comparison every hop goes through."""

from __future__ import annotations

import numpy as np
import pytest

from converters.errors import ParityError
from converters.parity import check, compare, compare_tensor

NOISE = np.random.default_rng(0).standard_normal(1000).astype(np.float32)


def test_identical_arrays_reach_the_ceiling():
    tensor = compare_tensor(NOISE, NOISE.copy())
    assert (tensor.max_abs, tensor.snr_db) == (0.0, 200.0) and tensor.cosine == pytest.approx(1.0)


def test_known_error_gives_known_snr():
    tensor = compare_tensor(NOISE, NOISE * 1.01)
    assert tensor.snr_db == pytest.approx(40.0, abs=0.01)
    assert tensor.max_abs == pytest.approx(0.01 * np.abs(NOISE).max(), rel=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_never_pass(bad):
    spoiled = NOISE.copy()
    spoiled[3] = bad
    report = compare({"y": NOISE}, {"y": spoiled})
    with pytest.raises(ParityError):
        check(report, min_snr_db=-1000.0, hop="hop")


def test_silence_that_stays_silent_passes_and_noise_in_it_does_not():
    silence = np.zeros(10, np.float32)
    check(compare({"y": silence}, {"y": silence}), min_snr_db=100.0, hop="hop")
    with pytest.raises(ParityError):
        check(compare({"y": silence}, {"y": silence + 1e-3}), min_snr_db=0.0, hop="hop")
    check(compare({"y": silence}, {"y": silence + 1e-9}), min_snr_db=100.0, hop="hop", max_abs=1e-6)


def test_missing_tensor_and_other_shape_are_named():
    with pytest.raises(ParityError, match="'y' is missing"):
        compare({"y": NOISE}, {})
    with pytest.raises(ParityError, match=r"\(10, 100\)"):
        compare({"y": NOISE}, {"y": NOISE.reshape(10, 100)})


def test_worst_tensor_is_named_with_its_hop():
    report = compare({"a": NOISE, "b": NOISE}, {"a": NOISE, "b": NOISE[::-1].copy()})
    with pytest.raises(ParityError, match="keras: output 'b'") as caught:
        check(report, min_snr_db=60.0, hop="keras")
    assert caught.value.where == "b"


def test_reports_combine_to_the_worse():
    good, bad = compare({"y": NOISE}, {"y": NOISE}), compare({"y": NOISE}, {"y": NOISE * 1.1})
    assert good.combined(bad).worst_snr_db == bad.combined(good).worst_snr_db == bad.worst_snr_db
