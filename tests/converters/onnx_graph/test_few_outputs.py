"""A convolution to one or two channels as one to four, of several frames at once: exact, and only where it pays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from converters.errors import ParityError
from converters.keras_graph.relayer import relayer
from converters.keras_graph.run import keras_runner
from converters.keras_to_tflite import to_tflite
from converters.onnx_graph import few_outputs
from converters.onnx_graph.pass_types import RewriteOptions
from converters.onnx_graph.pipeline import rewrite
from converters.onnx_graph.run import onnx_runner
from converters.onnx_to_keras import to_keras
from converters.parity import compare
from converters.spec import PartSpec, TensorSpec
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from converters.torch_run import torch_runner
from converters.torch_to_onnx import export, outputs_of

CHANNELS, FRAMES = 6, 16
ARRAYS = {"x": np.random.default_rng(1).standard_normal((1, CHANNELS, FRAMES)).astype(np.float32)}


def _rewritten(module, frames=FRAMES, without=()):
    torch.manual_seed(3)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    inputs = (TensorSpec(name="x", shape=(1, CHANNELS, frames)),)
    spec = PartSpec(name="post", inputs=inputs, outputs=outputs_of(module, inputs))
    arrays = {"x": ARRAYS["x"][:, :, :frames]}
    result = rewrite(export(module, spec), spec, arrays, options=RewriteOptions(without=frozenset(without)))
    report = compare(torch_runner(module, spec)(arrays), onnx_runner(result.model, result.interface)(arrays))
    return result, report, next((p for p in result.passes if p.name == "few_outputs"), None)


def _convolution(model):
    (node,) = (n for n in model.graph.node if n.op_type == "Conv")
    attributes = {a.name: list(a.ints) for a in node.attribute}
    kernel = next(t for t in model.graph.initializer if t.name == node.input[1])
    return node.name, tuple(kernel.dims), attributes["strides"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("outputs", "width", "padding"), [(1, 7, 3), (1, 5, 2), (2, 7, 3), (1, 9, 4)])
def test_every_convolution_that_keeps_the_length_is_exact(outputs, width, padding, bias):
    result, report, step = _rewritten(nn.Conv1d(CHANNELS, outputs, width, padding=padding, bias=bias))
    at_once = 4 // outputs
    assert report.max_abs <= 1e-5 and step.changed == 1
    _, kernel, strides = _convolution(result.model)
    assert (kernel[0], kernel[-1]) == (4, width + at_once - 1) and strides[-1] == at_once
    assert step.facts["added_macs_ratio"] == pytest.approx((at_once - 1) / width)


@pytest.mark.parametrize(
    ("module", "frames", "reason"),
    [
        (nn.Conv1d(CHANNELS, 1, 7, padding=3), 15, "15 frames are no multiple of 4"),
        (nn.Conv1d(CHANNELS, 1, 7), 16, "changes the length"),
        (nn.Conv1d(CHANNELS, 1, 3, padding=1), 16, "short"),
        (nn.Conv1d(CHANNELS, 1, 7, padding=6, dilation=2), 16, "dilated"),
        (nn.Conv1d(CHANNELS, 2, 7, padding=3, groups=2), 16, "grouped"),
    ],
)
def test_other_convolutions_stay(module, frames, reason):
    _, report, step = _rewritten(module, frames)
    assert step.changed == 0 and reason in step.skipped[0].reason
    assert report.max_abs <= 1e-5


def test_many_output_channels_are_no_matter():
    _, _, step = _rewritten(nn.Conv1d(CHANNELS, 3, 7, padding=3))
    assert step.changed == 0 and not step.skipped


class _Vocoder(nn.Module):
    """The end of a vocoder."""

    def __init__(self):
        super().__init__()
        self.conv_post = nn.Conv1d(CHANNELS, 1, 7, padding=3)

    def forward(self, x):
        return torch.tanh(self.conv_post(nn.functional.leaky_relu(x)))


def test_the_whole_chain_keeps_it_and_adds_one_reshape():
    result, _, _ = _rewritten(_Vocoder())
    assert _convolution(result.model)[0] == "conv_post/Conv"
    stage = relayer(to_keras(result.model, result.interface))
    before, _, _ = _rewritten(_Vocoder(), without=("few_outputs",))
    expected = onnx_runner(before.model, before.interface)(ARRAYS)
    assert compare(expected, keras_runner(stage.model, stage.interface)(ARRAYS)).max_abs < 1e-5
    content = to_tflite(stage.model, stage.interface)
    assert compare(expected, tflite_runner(content, stage.interface)(ARRAYS)).max_abs < 1e-5
    assert [op.kind for op in read_tflite(content).ops] == ["LEAKY_RELU", "CONV_2D", "TANH", "RESHAPE"]


class _Inside(_Vocoder):
    """What is made is multiplied with something else afterwards."""

    def forward(self, x):
        return super().forward(x) * x[:, :1]


class _Twice(_Vocoder):
    """The convolution and what a function makes of it are both outputs."""

    def forward(self, x):
        made = self.conv_post(x)
        return made, torch.tanh(made)


@pytest.mark.parametrize("module", [_Inside(), _Twice()])
def test_inside_a_graph_it_stays(module):
    _, report, step = _rewritten(module)
    assert step.changed == 0 and "used inside the graph" in step.skipped[0].reason
    assert report.max_abs <= 1e-5


def test_the_reshape_is_the_convolution_s():
    """Precision rules for the layer hold for it: an 8-bit reshape would round the waveform."""
    result, _, _ = _rewritten(_Vocoder())
    part = relayer(to_keras(result.model, result.interface))
    last = part.model.layers[-1]
    assert type(last).__name__ == "DepthToTime" and not getattr(last, "bakes_length", False)
    assert part.torch_names[last.name] == "conv_post/DepthToTime/Reshape_out"


def test_a_kernel_one_tap_off_is_caught(monkeypatch):
    def shifted(graph, value, stride, **where):
        kernel = next(n for n in graph.nodes if n.op == "Conv").inputs[1]
        graph.constants[kernel] = np.roll(graph.constants[kernel], 1, axis=2)
        return real(graph, value, stride, **where)

    real = few_outputs.depth_to_time
    monkeypatch.setattr(few_outputs, "depth_to_time", shifted)
    with pytest.raises(ParityError, match="few_outputs"):
        _rewritten(nn.Conv1d(CHANNELS, 1, 7, padding=3))
