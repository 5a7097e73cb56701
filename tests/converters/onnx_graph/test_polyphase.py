"""Polyphase transposed convolutions: exact, no wasted multiply-adds, native where the form does not apply."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from converters.onnx_graph import polyphase
from converters.onnx_graph.pass_types import RewriteOptions
from converters.onnx_graph.pipeline import rewrite
from converters.onnx_graph.polyphase import phase_kernels
from converters.onnx_graph.run import onnx_runner
from converters.parity import compare
from converters.spec import PartSpec, TensorSpec
from converters.torch_run import torch_runner
from converters.torch_to_onnx import export, outputs_of
from tests.converters.onnx_graph.graphs import apply, make_graph, weights

INPUTS = (TensorSpec(name="x", shape=(1, 3, 9)),)


def _convert(module, **options):
    torch.manual_seed(3)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    spec = PartSpec(name="up", inputs=INPUTS, outputs=outputs_of(module, INPUTS))
    arrays = {"x": np.random.default_rng(1).standard_normal((1, 3, 9)).astype(np.float32)}
    result = rewrite(export(module, spec), spec, arrays, options=RewriteOptions(**options))
    report = compare(torch_runner(module, spec)(arrays), onnx_runner(result.model, result.interface)(arrays))
    step = next(p for p in result.passes if p.name == "polyphase")
    return result, report, step


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "output_padding"),
    [
        (16, 8, 4, 0),
        (8, 4, 2, 0),
        (4, 2, 1, 0),
        (4, 4, 0, 0),
        (11, 5, 3, 0),
        (3, 2, 1, 1),
        (5, 3, 2, 2),
        (4, 4, 1, 2),
        (3, 4, 0, 1),
        (3, 1, 1, 0),
        (20, 10, 5, 0),
    ],
)
def test_every_geometry_that_multiplies_the_length_is_exact(kernel, stride, padding, output_padding):
    module = nn.ConvTranspose1d(3, 2, kernel, stride, padding=padding, output_padding=output_padding)
    result, report, step = _convert(module)
    assert report.max_abs <= 1e-5 and step.changed == 1
    assert "ConvTranspose" not in {n.op_type for n in result.model.graph.node}


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(16, 8, 4), (8, 4, 2), (4, 2, 1), (11, 5, 3)])
def test_no_multiply_add_is_added(kernel, stride, padding):
    _, _, step = _convert(nn.ConvTranspose1d(3, 2, kernel, stride, padding=padding))
    assert step.facts["added_macs_ratio"] == 0.0
    kernels = phase_kernels(np.ones((3, 2, kernel), np.float32), stride, padding)
    assert all((k != 0).all() for k, _, _ in kernels)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.ConvTranspose1d(3, 6, 4, 2, padding=1, groups=3), "grouped"),
        (nn.ConvTranspose1d(3, 2, 5, 2, padding=1), "exactly stride times"),
        (nn.ConvTranspose1d(3, 2, 4, 2, padding=3, dilation=2, output_padding=1), "dilated"),
    ],
)
def test_other_geometries_stay_native_with_a_reason(module, reason):
    result, report, step = _convert(module)
    assert report.max_abs <= 1e-5
    assert reason in step.skipped[0].reason
    assert "ConvTranspose" in {n.op_type for n in result.model.graph.node}


def test_native_on_request_is_exact_too():
    result, report, step = _convert(nn.ConvTranspose1d(3, 2, 16, 8, padding=4), transposed_conv="native")
    assert report.max_abs <= 1e-5 and step.changed == 0
    node = next(n for n in result.model.graph.node if n.op_type == "ConvTranspose")
    assert node.name == "forward/ConvTranspose" and len(node.input) == 3


def test_automatic_padding_stays_native():
    nodes = [("ConvTranspose", "x w", "y", {"strides": [2], "auto_pad": b"SAME_UPPER"})]
    graph = make_graph({"x": (1, 3, 9)}, nodes, ["y"], w=weights(3, 2, 4))
    assert "output shape" in apply(polyphase, graph, transposed_conv="polyphase").skipped[0].reason
