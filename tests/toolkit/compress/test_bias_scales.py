"""Every integer bias in the scale of the sums it is added to; one in another scale is mended, and is never shipped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from converters.keras_graph.relayer import relayer
from converters.keras_to_tflite import TfliteOptions, to_tflite
from converters.onnx_graph.pipeline import rewrite
from converters.onnx_to_keras import to_keras
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from converters.torch_to_onnx import export
from tests.model_zoo import CONVOLUTIONS
from toolkit.compress.audit import audit
from toolkit.compress.bias_scales import check_bias_scales, with_own_biases
from toolkit.compress.precision import plan_precision
from toolkit.errors import AuditError
from toolkit.recipe.schema import PrecisionPolicy

CASE = next(case for case in CONVOLUTIONS if case.id == "conv_transpose1d_k3s2p1o1")


@pytest.fixture(scope="module")
def upsampling():
    """A transposed convolution whose two phases have one bias, as TensorFlow's converter writes it in 16 bits."""
    module = CASE.build()
    rewritten = rewrite(export(module, CASE.spec), CASE.spec)
    relayered = relayer(to_keras(rewritten.model, rewritten.interface))
    options = TfliteOptions(quantization="int16x8", representative_dataset=[CASE.inputs(seed) for seed in range(20)])
    return module, relayered, to_tflite(relayered.model, relayered.interface, options)


def _snr_db(module, relayered, content) -> float:
    feed = CASE.inputs(3)
    (wanted,) = (module(torch.from_numpy(feed["x0"])).detach().numpy(),)
    found = tflite_runner(content, relayered.interface)(feed)["y0"]
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - found).sum()))


def test_phases_that_share_a_bias_get_one_each(upsampling):
    module, relayered, content = upsampling
    mended = with_own_biases(content)
    assert _snr_db(module, relayered, mended) > 40
    check_bias_scales(read_tflite(mended), "part")
    assert with_own_biases(mended) == mended
    # The twin: as the converter left it, and nothing in it says so.
    assert _snr_db(module, relayered, content) < 15
    with pytest.raises(AuditError) as caught:
        check_bias_scales(read_tflite(content), "part 'p'")
    assert caught.value.code == "precision/bias-scale" and "Conv" in caught.value.message


def test_the_audit_holds_every_file_to_it(upsampling):
    _, relayered, content = upsampling
    plan = plan_precision(relayered, PrecisionPolicy(default="int16x8"), "p")
    assert not audit(with_own_biases(content), plan).differences
    with pytest.raises(AuditError) as caught:
        audit(content, plan)
    assert caught.value.code == "precision/bias-scale"


def test_a_scale_that_is_nearly_right_is_right_and_another_is_not(upsampling):
    graph = read_tflite(with_own_biases(upsampling[2]))
    (first, *_) = (op for op in graph.ops if op.kind == "CONV_2D")
    bias = graph.tensors[first.inputs[2]]

    def scaled(factor: float):
        other = replace(bias, scales=tuple(scale * factor for scale in bias.scales))
        return replace(graph, tensors=tuple(other if t.index == bias.index else t for t in graph.tensors))

    check_bias_scales(scaled(1 + 1e-6), "part")
    with pytest.raises(AuditError):
        check_bias_scales(scaled(1.01), "part")
