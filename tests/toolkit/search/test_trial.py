"""What a conversion's gates say of a version: broken, not measured, or not to be measured here."""

from __future__ import annotations

import pytest

from tests.toolkit.report.synthetic_run import synthetic
from toolkit.pipeline.run import Outcome
from toolkit.results import judge
from toolkit.search.trial import read_version


def _skipped(gate: str):
    return judge(gate, gate, None, "operators", 1.0, ">=", "Why.", skipped_because="it is not installed")


@pytest.mark.parametrize(
    ("gate", "feasible"),
    [("npu_operators", True), ("gpu_float_snr", True), ("gpu_wrong_outputs", True), ("estimated_latency", False)],
)
def test_a_limit_that_was_not_measured_is_not_kept_and_a_missing_installation_is_no_limit(gate, feasible):
    result = synthetic().model_copy(update={"gates": (_skipped(gate),)})
    version = read_version(Outcome(result=result, verdict="", passed=True), None, 1, {}, 1.0)
    assert version.feasible is feasible and bool(version.unknown) is not feasible


def test_a_check_that_failed_to_run_is_not_kept():
    failed = _skipped("npu_operators").model_copy(update={"status": "error"})
    result = synthetic().model_copy(update={"gates": (failed,)})
    assert not read_version(Outcome(result=result, verdict="", passed=True), None, 1, {}, 1.0).feasible
