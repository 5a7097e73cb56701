"""Single layers and activations through every hop."""

from __future__ import annotations

import pytest

from tests.converters.hops import check_every_hop
from tests.model_zoo import CASES, TRANSFORMERS, VITS

LAYERS = [case.id for case in CASES if case not in (*VITS, *TRANSFORMERS)]


@pytest.mark.parametrize("case_id", LAYERS)
def test_layer_survives_every_hop(case_id: str) -> None:
    check_every_hop(case_id)
