"""Gains where 8 bits meet float change nothing but what 8 bits can hold; a wrong one is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from converters.keras_graph.run import keras_runner
from converters.parity import compare
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.compress.small_vocoder import BRANCHES, FLOAT_SUMS, small_inputs, small_vocoder
from toolkit.compress.channel_gains import INTO, OUT_OF, with_channel_gains
from toolkit.compress.equalise import equalise
from toolkit.compress.precision import plan_precision
from toolkit.compress.quantised_tensors import quantised_tensors
from toolkit.compress.run import compress_part
from toolkit.compress.streamline import masked_snr_db, streamline
from toolkit.recipe.schema import Compression, PrecisionPolicy, PrincipalSplit

CALIBRATION = small_inputs(8)


@pytest.fixture(scope="module")
def part():
    return streamline(small_vocoder(), CALIBRATION, min_snr_db=-200.0).relayered


@pytest.fixture(scope="module")
def plan(part):
    return plan_precision(part, FLOAT_SUMS, "decoder")


def _gains(relayered):
    return {layer.name for layer in relayered.model.layers if layer.name.endswith((INTO, OUT_OF))}


def test_every_edge_between_8_bits_and_float_has_one_gain(part, plan):
    gained = with_channel_gains(part, plan)
    assert _gains(gained) == {
        "dec.resblocks.0/LeakyRelu/scale",  # one for both branches, which read the same 8-bit tensor
        "dec.resblocks.0.convs.0/Conv/unscale",
        "dec.resblocks.1.convs.0/Conv/unscale",
    }
    assert masked_snr_db(part, gained, CALIBRATION) > 140
    assert _gains(with_channel_gains(gained, plan)) == _gains(gained)


def test_nothing_is_added_where_no_edge_is_crossed(part):
    whole = plan_precision(part, PrecisionPolicy(default="float32"), "decoder")
    assert not _gains(with_channel_gains(part, whole))


def test_gains_free_a_convolution_from_the_scales_of_the_stream_it_is_added_to(part, plan):
    tied, freed = equalise(part, plan, CALIBRATION), equalise(part, plan, CALIBRATION, channel_gains=True)
    assert freed.predicted_gain_db > tied.predicted_gain_db + 1.0
    assert masked_snr_db(part, freed.relayered, CALIBRATION) > 100
    spread = {}
    for result in (tied, freed):
        found = result.statistics["dec.resblocks.1.convs.0/Conv"]
        width = np.maximum(found.high, 0.0) - np.minimum(found.low, 0.0)
        spread[result is freed] = width.max() / width.min()
    assert spread[True] < 0.5 * spread[False]


def test_one_wrong_gain_is_noticed(part, plan):
    freed = equalise(part, plan, CALIBRATION, channel_gains=True).relayered
    layer = freed.model.get_layer("dec.resblocks.1.convs.0/Conv/unscale")
    layer.set_weights([layer.get_weights()[0] * np.where(np.arange(8) == 3, 1.5, 1.0).astype(np.float32)])
    assert masked_snr_db(part, freed, CALIBRATION) < 60


def _file_error_db(part, settings):
    made = compress_part(part, FLOAT_SUMS, settings, CALIBRATION)
    assert not made.audit.differences
    runner, before = tflite_runner(made.tflite, made.relayered.interface), keras_runner(part.model, part.interface)
    return made, np.mean([compare(before(arrays), runner(arrays)).worst_snr_db for arrays in small_inputs(3, seed=5)])


@pytest.mark.parametrize("principal", [(), (PrincipalSplit(match=BRANCHES, rank=2),)], ids=["whole", "split"])
def test_the_file_is_closer_and_its_multiply_adds_stay_8_bit(part, principal):
    plain, before_db = _file_error_db(part, Compression(principal=principal))
    made, after_db = _file_error_db(part, Compression(principal=principal, channel_gains=True))
    assert after_db > before_db + 1.0
    assert made.audit.float_macs_ratio == plain.audit.float_macs_ratio


def test_a_narrower_range_reaches_the_rest_behind_its_gain(part):
    """The 8-bit tensor of a split input is named after the gain, not after the rest the recipe's split made."""
    scales = {}
    for ratio in (1.0, 0.5):
        settings = Compression(
            channel_gains=True, principal=(PrincipalSplit(match=BRANCHES, rank=2, range_ratio=ratio),)
        )
        made = compress_part(part, FLOAT_SUMS, settings, CALIBRATION)
        graph = read_tflite(made.tflite)
        (entry,) = {op.outputs[0] for op in graph.ops if op.kind == "QUANTIZE"}
        (scales[ratio],) = graph.tensors[entry].scales
        rest = [n for n in quantised_tensors(made.relayered.model, made.plan).at_entry if n.endswith("Rest" + INTO)]
        assert len(rest) == 1
    assert scales[0.5] == pytest.approx(0.5 * scales[1.0], rel=1e-3)


def test_gains_without_equalisation_are_refused():
    with pytest.raises(ValueError, match="channel_gains without equalise"):
        Compression(equalise=False, channel_gains=True)
