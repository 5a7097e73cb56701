"""Masks of scores as large as they need be: the same outputs, and no change where one would be heard."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from converters.spec import PartSpec, TensorSpec
from tests.converters.chain import build, relayered_of
from tests.model_zoo import VITS
from tests.zoo_more import MORE
from toolkit.compress.masked_scores import with_moderate_masks

ZOO = {case.id: case for case in (*VITS, *MORE)}


@pytest.mark.parametrize("name", ["causal_sdpa", "padded_attention", "vits_encoder", "decoder_layer"])
def test_masks_come_down_and_nothing_else_changes(name):
    case = ZOO[name]
    found = with_moderate_masks(build(case).relayered, [case.inputs(seed) for seed in range(4)])
    assert found.layers and -500 < found.lowest < -30 and found.snr_db > 100


def test_a_part_without_masks_is_left_alone():
    case = ZOO["rotary"]
    given = build(case).relayered
    found = with_moderate_masks(given, [case.inputs(0)])
    assert found.relayered is given and not found.layers


def test_a_large_number_that_is_no_mask_stays():
    """It is added to the scores and taken off again: brought down, it would leave other scores behind."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("offset", torch.tensor([[-2e3, -1e3, 0.0, 1e3]]))

        def forward(self, x, y):
            return torch.softmax((x + self.offset) * 1e-3 + y, dim=1)

    inputs = (TensorSpec(name="x", shape=(1, 4)), TensorSpec(name="y", shape=(1, 4)))
    given = relayered_of(Net().eval(), PartSpec(name="p", inputs=inputs, outputs=(TensorSpec(name="z", shape=(1, 4)),)))
    noise = np.random.default_rng(0)
    feeds = [{name: noise.standard_normal((1, 4)).astype(np.float32) for name in "xy"} for _ in range(3)]
    found = with_moderate_masks(given, feeds)
    assert found.relayered is given and not found.layers and found.snr_db < 60
