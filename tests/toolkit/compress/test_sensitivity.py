"""Groups are rounded one at a time; what costs most is kept in float, and the choice is measured."""

import math

import numpy as np
import pytest

from tests.toolkit.compress.small_parts import inputs, residual_part
from toolkit.compress.precision import plan_precision
from toolkit.compress.run import compress_part
from toolkit.compress.sensitivity import GroupLoss, analyse_sensitivity, float_rules, kept_for, layer_groups
from toolkit.errors import RecipeError
from toolkit.recipe.schema import Compression, PrecisionPolicy, PrecisionRule

INT8 = PrecisionPolicy(default="int8")
CALIBRATION, JUDGED = inputs(6), inputs(3, seed=9)


def _plan(part, policy=INT8):
    return plan_precision(part, policy, "decoder")


def _analysed(part, target_db, policy=INT8):
    return analyse_sensitivity(part, _plan(part, policy), CALIBRATION, JUDGED, target_db=target_db, depth=3)


@pytest.fixture(scope="module")
def fragile():
    """One kernel whose outliers leave an 8-bit range nothing for the rest."""
    part = residual_part()
    layer = part.model.get_layer("dec.resblocks.1.convs.0/Conv")
    kernel, bias = layer.get_weights()
    kernel[0, 0] *= 300.0
    layer.set_weights([kernel, bias])
    return part


def test_groups_are_torch_paths(fragile):
    groups = layer_groups(_plan(fragile), 3)
    assert list(groups)[:2] == ["dec.conv_pre", "dec"] and "dec.resblocks.1" in groups
    assert {"dec"} == set(layer_groups(_plan(fragile), 1))


def test_the_choice_reaches_its_target_and_the_file_keeps_what_was_measured(fragile):
    whole = _analysed(fragile, target_db=0.0)
    assert not whole.kept and whole.measured_db == pytest.approx(whole.whole_db)
    target = whole.whole_db + 6.0
    found = _analysed(fragile, target_db=target)
    assert found.kept and found.measured_db > target - 1.5
    assert found.predicted_db == pytest.approx(found.measured_db, abs=6.0)
    rules = tuple(PrecisionRule.model_validate(rule) for rule in float_rules(found.kept, found.losses))
    kept = {
        item.torch_name
        for item in _plan(fragile, INT8.model_copy(update={"rules": rules})).layers
        if item.rule is not None
    }
    assert kept and all(name.startswith(found.kept) for name in kept)


def test_noise_of_the_simulation_is_that_of_the_file(fragile):
    from converters.keras_graph.run import keras_runner
    from converters.tflite_graph.run import tflite_runner

    found = _analysed(fragile, target_db=0.0)
    made = compress_part(fragile, INT8, Compression(equalise=False), CALIBRATION)
    run, reference = tflite_runner(made.tflite, fragile.interface), keras_runner(fragile.model, fragile.interface)
    power = noise = 0.0
    for arrays in JUDGED:
        wanted, got = reference(arrays)["audio"], run(arrays)["audio"]
        power, noise = power + float(np.square(wanted).sum()), noise + float(np.square(wanted - got).sum())
    assert found.whole_db == pytest.approx(10 * math.log10(power / noise), abs=1.5)


def test_noise_is_seen_where_it_is_put():
    """Twin: the group that was made fragile costs far more than it did whole."""
    whole, part = residual_part(), residual_part()
    layer = part.model.get_layer("dec.conv_post/Conv")
    kernel, bias = layer.get_weights()
    kernel[0, 0, 0] *= 300.0
    layer.set_weights([kernel, bias])

    def cost(which):
        return {loss.group: loss.snr_db for loss in _analysed(which, 0.0).losses}["dec.conv_post"]

    assert cost(part) != pytest.approx(cost(whole), abs=0.5)


def test_a_target_buys_the_noisiest_weights_first():
    losses = [
        GroupLoss(group="small", nodes=("small/Conv",), weights=10, snr_db=20.0),
        GroupLoss(group="large", nodes=("large/Conv",), weights=10_000, snr_db=20.0),
        GroupLoss(group="quiet", nodes=("quiet/Conv",), weights=10, snr_db=60.0),
    ]
    assert kept_for(losses, 10.0) == ()
    assert kept_for(losses, 19.0) == ("small",)
    assert kept_for(losses, 40.0) == ("small", "large")


def test_nothing_to_round_is_an_error(fragile):
    with pytest.raises(RecipeError) as caught:
        _analysed(fragile, 30.0, PrecisionPolicy(default="float32"))
    assert caught.value.code == "sensitivity/nothing-rounded"
