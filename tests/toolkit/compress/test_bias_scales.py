"""Every integer bias in the scale of the sums it is added to; one in another scale is mended, and is never shipped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from converters.keras_to_tflite import TfliteOptions, to_tflite
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.converters.chain import build
from toolkit.compress.audit import audit
from toolkit.compress.bias_scales import check_bias_scales, with_own_biases
from toolkit.compress.precision import plan_precision
from toolkit.errors import AuditError
from toolkit.quality.signal import snr_db
from toolkit.recipe.schema import PrecisionPolicy


@pytest.fixture(scope="module")
def upsampling():
    """A transposed convolution whose two phases have one bias, as TensorFlow's converter writes it in 16 bits."""
    made = build("conv_transpose1d_k3s2p1o1")
    inputs = [made.case.inputs(seed) for seed in range(20)]
    options = TfliteOptions(quantization="int16x8", representative_dataset=inputs)
    return made, to_tflite(made.relayered.model, made.relayered.interface, options)


def _snr_db(made, content) -> float:
    feed = made.case.inputs(3)
    return snr_db(made.reference(feed)["y0"], tflite_runner(content, made.relayered.interface)(feed)["y0"])


def test_phases_that_share_a_bias_get_one_each(upsampling):
    made, content = upsampling
    mended = with_own_biases(content)
    assert _snr_db(made, mended) > 40
    check_bias_scales(read_tflite(mended), "part")
    assert with_own_biases(mended) == mended
    # The twin: as the converter left it, and nothing in it says so.
    assert _snr_db(made, content) < 15
    with pytest.raises(AuditError) as caught:
        check_bias_scales(read_tflite(content), "part 'p'")
    assert caught.value.code == "precision/bias-scale" and "Conv" in caught.value.message


def test_the_audit_holds_every_file_to_it(upsampling):
    made, content = upsampling
    plan = plan_precision(made.relayered, PrecisionPolicy(default="int16x8"), "p")
    assert not audit(with_own_biases(content), plan).differences
    with pytest.raises(AuditError) as caught:
        audit(content, plan)
    assert caught.value.code == "precision/bias-scale"


def test_a_scale_that_is_nearly_right_is_right_and_another_is_not(upsampling):
    graph = read_tflite(with_own_biases(upsampling[1]))
    (first, *_) = (op for op in graph.ops if op.kind == "CONV_2D")
    bias = graph.tensors[first.inputs[2]]

    def scaled(factor: float):
        other = replace(bias, scales=tuple(scale * factor for scale in bias.scales))
        return replace(graph, tensors=tuple(other if t.index == bias.index else t for t in graph.tensors))

    check_bias_scales(scaled(1 + 1e-6), "part")
    with pytest.raises(AuditError):
        check_bias_scales(scaled(1.01), "part")
