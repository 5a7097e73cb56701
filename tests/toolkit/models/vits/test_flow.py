"""Gates of a flow that differ from layer to layer, with and without a style."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from toolkit.models.gpt_sovits.sovits_flow import ReverseFlow
from toolkit.models.vits.config import FlowConfig
from toolkit.models.vits.flow import ResidualCouplingFlow, WaveNet

HIDDEN, STYLE, LAYERS = 6, 5, (1, 1, 1)
KEPT = ((0, 2, 5), (1, 2, 3, 4), (0,))


def narrowed(whole: WaveNet, kept: tuple[tuple[int, ...], ...]) -> WaveNet:
    """The same layers with some of their gates only."""
    narrow = WaveNet(HIDDEN, 3, LAYERS, STYLE, tuple(map(len, kept)))
    shares = []
    for layer, places in enumerate(kept):
        rows = torch.tensor([*places, *(place + HIDDEN for place in places)])
        for name in ("weight", "bias"):
            getattr(narrow.in_layers[layer], name).data = getattr(whole.in_layers[layer], name)[rows]
        narrow.res_skip_layers[layer].weight.data = whole.res_skip_layers[layer].weight[:, list(places)]
        narrow.res_skip_layers[layer].bias.data = whole.res_skip_layers[layer].bias
        shares.append(rows + 2 * HIDDEN * layer)
    for name in ("weight", "bias"):
        getattr(narrow.cond_layer, name).data = getattr(whole.cond_layer, name)[torch.cat(shares)]
    return narrow


@torch.no_grad()
def said(own: tuple[tuple[int, ...], ...], idle: tuple[tuple[int, ...], ...] = KEPT) -> tuple[torch.Tensor, ...]:
    """What a WaveNet gives whose gates write nothing but for ``idle``'s, and one that has only ``own``."""
    torch.manual_seed(0)
    whole = WaveNet(HIDDEN, 3, LAYERS, STYLE)
    for layer, places in zip(whole.res_skip_layers, idle, strict=True):
        layer.weight[:, [place for place in range(HIDDEN) if place not in places]] = 0.0
    x, mask, style = torch.randn(1, HIDDEN, 20), torch.ones(1, 1, 20), torch.randn(1, STYLE, 1)
    return whole(x, mask, style), narrowed(whole, own)(x, mask, style)


def test_gates_that_write_nothing_go_without_a_trace_and_each_keeps_its_style():
    whole, narrow = said(KEPT)
    assert float((whole - narrow).abs().max()) < 1e-6


def test_comparison_sees_another_gate_stay():
    whole, narrow = said(((0, 2, 5), (1, 2, 3, 5), (0,)))
    assert float((whole - narrow).abs().max()) > 1e-3


@pytest.mark.parametrize("gates", [((4, 6),), ((4, 6), (6,)), ((4, 6), (6, 0))], ids=["coupling", "layer", "none"])
def test_gates_that_do_not_fit_the_layers_are_refused(gates):
    config = FlowConfig(channels=8, hidden=6, couplings=2, dilations=(1, 1))
    assert config.gate_widths == ((6, 6), (6, 6))
    with pytest.raises(ValueError, match="gates"):
        ResidualCouplingFlow(replace(config, gates=gates))


def test_widths_are_of_the_couplings_as_the_checkpoint_numbers_them():
    config = FlowConfig(channels=8, hidden=6, couplings=2, dilations=(1, 1), gates=((4, 6), (2, 1)))
    for flow in (ResidualCouplingFlow(config), ReverseFlow(config, STYLE)):
        shapes = {name: tuple(value.shape) for name, value in flow.state_dict().items()}
        assert shapes["flows.0.enc.in_layers.0.weight"][0] == 8 and shapes["flows.2.enc.in_layers.1.weight"][0] == 2
        assert shapes["flows.2.enc.res_skip_layers.0.weight"][:2] == (12, 2)
    assert shapes["flows.2.enc.cond_layer.weight"][0] == 6
