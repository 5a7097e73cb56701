"""The quiet and the loud part of a signal, rounded apart: nothing changes but what 8 bits do to pauses."""

from __future__ import annotations

import numpy as np
import pytest

from converters.errors import ParityError
from converters.keras_graph.run import keras_runner
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.compress.small_vocoder import BRANCHES, FLOAT_SUMS, FRAMES, small_inputs, small_vocoder
from toolkit.compress import levels
from toolkit.compress.calibrate import observe_statistics
from toolkit.compress.observe import run_layers, target_inputs
from toolkit.compress.precision import plan_precision
from toolkit.compress.run import compress_part
from toolkit.compress.streamline import streamline
from toolkit.errors import RecipeError
from toolkit.recipe.schema import Compression, LevelSplit, PrecisionPolicy, PrecisionRule, PrincipalSplit

CALIBRATION = small_inputs(8)
SPLITS = (LevelSplit(match=BRANCHES, begin=0.1),)
SOURCE = "dec.resblocks.0/LeakyRelu"


@pytest.fixture(scope="module")
def part():
    return streamline(small_vocoder(), CALIBRATION, min_snr_db=-200.0).relayered


@pytest.fixture(scope="module")
def plan(part):
    return plan_precision(part, FLOAT_SUMS, "decoder")


@pytest.fixture(scope="module")
def statistics(part):
    return observe_statistics(part, CALIBRATION)


def _values(relayered, arrays):
    found = {}

    def watch(name, value):
        found[name] = np.asarray(value)
        return value

    run_layers(relayered.model, next(iter(target_inputs(relayered.interface, [arrays]))), watch)
    return found


def test_two_convolutions_share_the_parts_and_compute_the_same(part, plan, statistics):
    split = levels.split_levels(part, SPLITS, plan, statistics, CALIBRATION)
    assert split.snr_db > 120
    assert split.layers == ("dec.resblocks.0.convs.0/Conv", "dec.resblocks.1.convs.0/Conv")
    assert split.added == ("dec.resblocks.0.convs.0.loud/Conv", "dec.resblocks.1.convs.0.loud/Conv")
    names = [layer.name for layer in split.relayered.model.layers]
    assert sum(name.endswith("/quiet") for name in names) == sum(name.endswith("/loud") for name in names) == 1


def test_loud_begins_where_the_recipe_says_and_is_zero_below(part, plan, statistics):
    split = levels.split_levels(part, SPLITS, plan, statistics, CALIBRATION)
    peak = max(-statistics[SOURCE].low.min(), statistics[SOURCE].high.max())
    values = _values(split.relayered, CALIBRATION[0])
    whole, quiet, loud = (values[SOURCE + suffix] for suffix in ("", "/quiet", "/loud"))
    assert quiet.max() == pytest.approx(0.1 * peak) and np.abs(loud).max() > 0.1 * peak
    below = (whole < 0.1 * peak) & (whole > -0.1 * peak)
    assert 0.2 < below.mean() < 0.98
    assert not loud[below].any() and (loud[whole > 0.1 * peak] > 0).all()


def test_a_side_that_is_short_stays_whole(part, plan, statistics):
    """Behind a leaky rectifier the negative side is a tenth as long: an operator less."""
    low, high = statistics[SOURCE].low.min(), statistics[SOURCE].high.max()
    ends = {}
    for begin in (0.02, 0.5):
        splits = (LevelSplit(match=BRANCHES, begin=begin),)
        model = levels.split_levels(part, splits, plan, statistics, CALIBRATION).relayered.model
        clip = model.get_layer(f"{SOURCE}/quiet")
        ends[begin] = (clip.low, clip.high)
    assert -low < 0.3 * high
    assert ends[0.02] == (pytest.approx(-0.02 * high), pytest.approx(0.02 * high))
    assert ends[0.5] == (None, pytest.approx(0.5 * high))


def test_one_changed_weight_stops_the_run(part, plan, statistics, monkeypatch):
    def wrong(source, target):
        real(source, target)
        layer = target.get_layer("dec.resblocks.0.convs.0/Conv")
        kernel, bias = layer.get_weights()
        kernel[0, 1, 2, 3] += 0.1
        layer.set_weights([kernel, bias])

    real = levels.rewire.copy_weights
    monkeypatch.setattr(levels.rewire, "copy_weights", wrong)
    with pytest.raises(ParityError, match="split by level"):
        levels.split_levels(part, SPLITS, plan, statistics, CALIBRATION)


@pytest.mark.parametrize(("match", "says"), [("dec.conv_post", "dec.conv_post"), ("dec.nothing", "dec.nothing")])
def test_what_is_not_8_bit_cannot_be_named(part, plan, statistics, match, says):
    with pytest.raises(RecipeError, match=says) as caught:
        levels.split_levels(part, (LevelSplit(match=match, begin=0.1),), plan, statistics, CALIBRATION)
    assert "compress.levels" in str(caught.value)


def test_two_thresholds_on_one_signal(part, plan, statistics):
    splits = (*SPLITS, LevelSplit(match="dec.resblocks.1.convs.0", begin=0.3))
    split = levels.split_levels(part, splits, plan, statistics, CALIBRATION)
    names = {layer.name for layer in split.relayered.model.layers}
    assert {f"{SOURCE}/quiet", f"{SOURCE}/quiet_1", f"{SOURCE}/loud", f"{SOURCE}/loud_1"} <= names
    assert split.snr_db > 120


ALL_INT8 = PrecisionPolicy(
    default="float32",
    rules=tuple(PrecisionRule(match=m, use="int8", because="chosen by the test") for m in (BRANCHES, "dec.ups.0")),
)


def _errors(part, made):
    """Error power of the file, in its loudest and in its quietest frames, over three unseen inputs."""
    runner, exact = tflite_runner(made.tflite, made.relayered.interface), keras_runner(part.model, part.interface)
    loud, quiet = [], []
    for arrays in small_inputs(3, seed=5):
        arrays = {**arrays, "z": arrays["z"] * np.where(np.arange(FRAMES) < FRAMES // 2, 1.0, 0.02).astype(np.float32)}
        error = np.square(exact(arrays)["audio"] - runner(arrays)["audio"]).reshape(FRAMES, -1).mean(1)
        loud.append(error[: FRAMES // 2 - 4].mean())
        quiet.append(error[FRAMES // 2 + 4 : FRAMES - 4].mean())
    return np.mean(loud), np.mean(quiet)


def test_pauses_are_quieter_in_the_file_and_no_weight_is_stored_twice(part):
    plain = compress_part(part, ALL_INT8, Compression(channel_gains=True), CALIBRATION)
    splits = tuple(LevelSplit(match=match, begin=0.1) for match in (BRANCHES, "dec.ups.0"))
    made = compress_part(part, ALL_INT8, Compression(channel_gains=True, levels=splits), CALIBRATION)
    assert not made.audit.differences
    (loud_before, quiet_before), (loud_after, quiet_after) = _errors(part, plain), _errors(part, made)
    assert quiet_after < 0.2 * quiet_before
    assert loud_after < 1.2 * loud_before
    graph = read_tflite(made.tflite)
    kernels = [op.inputs[1] for op in graph.ops if op.kind == "CONV_2D" and graph.tensors[op.inputs[0]].dtype == "INT8"]
    assert len(kernels) == 4 and len(set(kernels)) == 2
    # The repeated convolutions are work, and do not make the share in float smaller.
    assert made.audit.macs > plain.audit.macs
    assert made.audit.float_macs_ratio == pytest.approx(plain.audit.float_macs_ratio)


def test_what_is_left_beside_principal_directions_can_be_split(part):
    """Without gains the statistics of the rest are not those equalisation leaves: it made none of that tensor."""
    settings = Compression(principal=(PrincipalSplit(match=BRANCHES, rank=2),), levels=SPLITS)
    made = compress_part(part, FLOAT_SUMS, settings, CALIBRATION)
    assert not made.audit.differences
    names = {layer.name for layer in made.relayered.model.layers}
    assert {"dec.resblocks.0.convs.0.principal/Rest/quiet", "dec.resblocks.0.convs.0.principal/Rest/loud"} <= names
