"""Whole small models through every hop."""

from __future__ import annotations

import pytest

from tests.converters.chain import build
from tests.converters.hops import check_every_hop
from tests.model_zoo import TRANSFORMERS, VITS

SLOW = {
    *("vits_flow", "vits_flow_odd", "vits_flow_affine", "vits_flow_decoder"),
    *("vits_encoder_short", "lstm_two_layers_both_ways", "vits_decoder_k16s8"),
}


@pytest.mark.parametrize(
    "case_id", [pytest.param(c.id, marks=pytest.mark.slow) if c.id in SLOW else c.id for c in (*VITS, *TRANSFORMERS)]
)
def test_model_survives_every_hop(case_id: str) -> None:
    check_every_hop(case_id)


@pytest.mark.parametrize("case_id", [c.id for c in VITS if "encoder" not in c.id])
def test_no_data_movement_is_left_in_signals(case_id: str) -> None:
    if case_id in ("vits_attention", "vits_flow_odd"):
        pytest.skip("moves data by nature: heads, and a flip that stays at the output")
    layers = build(case_id).relayered.model.layers
    moving = [layer.name for layer in layers if type(layer).__name__ in ("Permute", "Reshape", "Reorder")]
    assert [name for name in moving if not name.endswith("conv_post/DepthToTime/Reshape_out")] == []
