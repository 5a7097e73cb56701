"""Equalisation is exact; the twins break one scale and must be noticed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.toolkit.compress.small_vocoder import small_inputs, small_vocoder
from toolkit.compress import equalise as subject
from toolkit.compress.noise_model import TensorNoise, WeightNoise, best_scales, predict
from toolkit.compress.precision import plan_precision
from toolkit.compress.streamline import masked_snr_db, streamline
from toolkit.compress.streams import PINNED, find_streams
from toolkit.recipe.schema import PrecisionPolicy

CALIBRATION = small_inputs(5)


@pytest.fixture(scope="module")
def equalised():
    relayered = streamline(small_vocoder(), CALIBRATION, min_snr_db=-100.0).relayered
    plan = plan_precision(relayered, PrecisionPolicy(default="int8"), "decoder")
    return relayered, subject.equalise(relayered, plan, CALIBRATION)


def test_equalised_part_computes_the_same(equalised):
    relayered, result = equalised
    assert len(result.scales) >= 3
    assert all(np.ptp(np.log(scale)) > 0.1 for scale in result.scales.values())
    assert masked_snr_db(relayered, result.relayered, CALIBRATION) > 100
    assert result.predicted_gain_db > 1


def test_one_wrong_scale_is_noticed(equalised):
    relayered, result = equalised
    layer = result.relayered.model.get_layer("dec.resblocks.1.convs.0/Conv")
    kernel, bias = layer.get_weights()
    wrong = kernel.copy()
    wrong[..., 0, :] *= 1.5
    layer.set_weights([wrong, bias])
    try:
        assert masked_snr_db(relayered, result.relayered, CALIBRATION) < 60
    finally:
        layer.set_weights([kernel, bias])


def test_residual_additions_share_a_stream_and_outputs_are_pinned():
    streams = find_streams(small_vocoder().model)
    members = ("dec.ups.0/ConvTranspose", "dec.resblocks.0.convs.0/Conv", "dec/Add", "dec/LeakyRelu_1")
    stage = {streams[name] for name in members}
    assert len(stage) == 1 and PINNED not in stage
    assert streams["dec.conv_pre/Conv"] not in stage
    assert streams["dec/Tanh"] == streams["dec.conv_post/Conv"] == streams["z"] == PINNED


def test_predicted_noise_falls_along_its_gradient():
    generator = np.random.default_rng(0)
    spread = np.exp(generator.standard_normal(12))
    tensor = TensorNoise(stream="a", low=-spread, high=2 * spread, gain=1 / spread)
    kernel = WeightNoise(source="a", target="", peak=np.abs(generator.standard_normal((4, 12))), taps=3,
                         power=spread**2, gain=np.ones(4), per_channel=True)  # fmt: skip
    before = predict([tensor], [kernel], {"a": np.ones(12)})
    scales = best_scales([tensor], [kernel], {"a": 12})
    after = predict([tensor], [kernel], scales)
    assert after < 0.7 * before
    for _ in range(20):
        nearby = {"a": scales["a"] * np.exp(0.3 * generator.standard_normal(12))}
        assert predict([tensor], [kernel], nearby) > 0.99 * after


def test_masks_stay_when_dropping_them_is_heard():
    kept = streamline(small_vocoder(), CALIBRATION, min_snr_db=500.0)
    assert kept.dropped == () and len(kept.relayered.model.layers) == len(small_vocoder().model.layers)
    dropped = streamline(small_vocoder(), CALIBRATION, min_snr_db=-100.0)
    assert dropped.dropped == ("dec/Mul_1", "dec/Mul_2")


def test_inputs_with_padding_judge_whether_masks_are_heard():
    """Sentences that fill the bucket are equal with and without masks; shorter ones are not."""
    full = [{**arrays, "mask": np.ones_like(arrays["mask"])} for arrays in CALIBRATION]
    assert streamline(small_vocoder(), full, min_snr_db=500.0).dropped
    assert streamline(small_vocoder(), [*full, *CALIBRATION], min_snr_db=500.0).dropped == ()
    assert streamline(small_vocoder(), [*full, *CALIBRATION], min_snr_db=-100.0).dropped
