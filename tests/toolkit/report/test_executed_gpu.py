"""What was executed is not called static in the headline, and what was not executed is."""

from __future__ import annotations

import pytest

from tests.toolkit.report.synthetic_run import synthetic
from toolkit.report import selection as pick
from toolkit.report.html import render
from toolkit.report.sections.verdict import sentence
from toolkit.results import GpuExecution, RunResult


def _for_gpu(**changes: object) -> RunResult:
    plain = synthetic()
    asked = plain.environment.model_copy(update={"delegate": "gpu"})
    part = pick.main_part(plain)
    placement = plain.delegation[0].model_copy(
        update={"delegate": "gpu_litert", "part": part, "method": "static: rules", "delegated_ops": 7, "total_ops": 7,
                "partitions": 1, "ops": ()}
    )  # fmt: skip
    row = {
        "part": part, "variant": "result", "how": "executed on a software GPU", "accepted": True, "gpu_ops": 7,
        "cpu_ops": 0, "tables_ops": 7,
    }  # fmt: skip
    ran = (GpuExecution.model_validate({**row, **changes}),) if "without" not in changes else ()
    return plain.model_copy(update={"environment": asked, "delegation": (placement,), "gpu_executions": ran})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "one partition, executed on a software GPU"),
        ({"compared": False}, "one partition, executed on a software GPU (placed)"),
        ({"accepted": False, "gpu_ops": 5, "cpu_ops": 2}, "one partition by static rules"),
        ({"gpu_ops": 6}, "one partition by static rules"),
        ({"without": True}, "one partition by static rules"),
    ],
)
def test_the_headline_says_how_the_placement_is_known(changes, words):
    assert f"{words};" in sentence(_for_gpu(**changes))


def test_the_card_shows_what_the_accelerator_took():
    assert "executed on a software GPU: 5 of 7" in render(_for_gpu(accepted=False, gpu_ops=5, cpu_ops=2))
    assert "executed on a software GPU:" not in render(_for_gpu(without=True))
