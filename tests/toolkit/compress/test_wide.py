"""16-bit activations: what TensorFlow's converter leaves undone is done, refused, or told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from converters.spec import PartSpec, TensorSpec
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.converters.chain import relayered_of
from toolkit.compress import run
from toolkit.compress.masked_scores import Masked
from toolkit.compress.run import compress_part
from toolkit.errors import AuditError, RecipeError
from toolkit.quality.signal import snr_db
from toolkit.recipe.schema import Compression, PrecisionPolicy, PrecisionRule

SPEC = PartSpec(
    name="p",
    inputs=(TensorSpec(name="x", shape=(1, 4, 24)),),
    outputs=(TensorSpec(name="y", shape=(1, 4, 24)),),
)


class _Net(nn.Module):
    def __init__(self, middle) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.into, self.out, self.middle = nn.Conv1d(4, 4, 3, padding=1), nn.Conv1d(4, 4, 1), middle

    def forward(self, x):
        return self.out(self.middle(self.into(x)))


class _Masked(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x):
        mask = torch.cat([torch.zeros(1, 4, 20), torch.full((1, 4, 4), self.value)], dim=2)
        return torch.softmax(x + mask, dim=2)


def _compressed(middle, *rules: PrecisionRule):
    module = _Net(middle).eval()
    relayered = relayered_of(module, SPEC)
    policy = PrecisionPolicy(default="int16x8", rules=list(rules))
    inputs = [{"x": np.random.default_rng(seed).standard_normal((1, 4, 24)).astype(np.float32)} for seed in range(12)]
    made = compress_part(relayered, policy, Compression(), inputs, seed=0)
    found = tflite_runner(made.tflite, made.relayered.interface)(inputs[0])["y"]
    wanted = module(torch.from_numpy(inputs[0]["x"])).detach().numpy()
    return made, snr_db(wanted, found)


def test_what_has_no_kernel_in_16_bits_stays_in_float_and_says_so():
    made, heard_db = _compressed(nn.ELU())
    rows = {row.kind: row for row in made.audit.rows}
    assert rows["ELU"].realised == "float32" and "no 16-bit kernel for ELU" in rows["ELU"].because
    assert rows["CONV_2D"].realised == "int16x8" and heard_db > 35


def test_a_rule_that_asks_for_16_bits_there_stops_the_run():
    rule = PrecisionRule(match="middle*", use="int16x8", because="asked for")
    with pytest.raises(AuditError) as caught:
        _compressed(nn.ELU(), rule)
    assert caught.value.code == "precision/not-realised" and "ELU" in caught.value.message


def test_a_value_to_pad_with_is_stored_in_16_bits():
    made, heard_db = _compressed(nn.Sequential(nn.ConstantPad1d((1, 1), 0.5), nn.AvgPool1d(3, 1)))
    graph = read_tflite(made.tflite)
    (pad,) = (op for op in graph.ops if op.kind == "PADV2")
    assert [graph.tensors[pad.inputs[place]].dtype for place in (0, 2)] == ["INT16", "INT16"] and heard_db > 35


@pytest.mark.parametrize("value", [-50.0, -1e4, -3.4e38])
def test_masks_of_any_size_leave_the_scores_their_16_bits(value):
    assert _compressed(_Masked(value))[1] > 35


def test_without_smaller_masks_the_scores_are_refused(monkeypatch):
    monkeypatch.setattr(run, "with_moderate_masks", lambda relayered, calibration: Masked(relayered=relayered))
    with pytest.raises(RecipeError) as caught:
        _compressed(_Masked(-1e4))
    assert caught.value.code == "precision/not-realisable" and "-1e+04" in caught.value.message


def test_recurrent_layers_are_refused_before_the_converter_ends_the_process():
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 4, batch_first=True)

        def forward(self, x):
            return self.lstm(x.transpose(1, 2))[0].transpose(1, 2)

    with pytest.raises(RecipeError) as caught:
        _compressed(Recurrent())
    assert caught.value.code == "precision/not-realisable" and "recurrent" in caught.value.message
