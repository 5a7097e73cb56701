"""Principal directions kept in float: an exact rewrite that leaves less for 8 bits to round."""

from __future__ import annotations

import numpy as np
import pytest

from converters.errors import ParityError
from converters.keras_graph.run import keras_runner
from converters.parity import compare
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.compress.small_vocoder import BRANCHES, FLOAT_SUMS, small_inputs, small_vocoder
from toolkit.compress import principal
from toolkit.compress.observe import run_layers, target_inputs
from toolkit.compress.run import compress_part
from toolkit.compress.streamline import streamline
from toolkit.errors import RecipeError
from toolkit.recipe.schema import Compression, PrincipalSplit

CALIBRATION = small_inputs(6)
SPLITS = (PrincipalSplit(match=BRANCHES, rank=3), PrincipalSplit(match="dec.ups.0", rank=2))


@pytest.fixture(scope="module")
def part():
    return streamline(small_vocoder(), CALIBRATION, min_snr_db=-200.0).relayered


@pytest.fixture(scope="module")
def split(part):
    return principal.split_principal(part, SPLITS, CALIBRATION, "decoder")


def test_the_split_part_computes_the_same_and_branches_share_their_directions(part, split):
    assert split.snr_db > 110 and len(split.layers) == 3
    names = {layer.name for layer in split.relayered.model.layers}
    assert "dec.resblocks.0.convs.0.principal/Project" in names
    assert "dec.resblocks.1.convs.0.principal/Project" not in names  # reads what the first branch reads
    unseen = small_inputs(1, seed=9)[0]
    expected = keras_runner(part.model, part.interface)(unseen)
    found = keras_runner(split.relayered.model, split.relayered.interface)(unseen)
    assert compare(expected, found).worst_snr_db > 110


def test_less_is_left_to_round(part, split):
    def power(part, name):
        found = []

        def watch(layer, value):
            if layer == name:
                found.append(np.square(value).mean())
            return value

        for inputs in target_inputs(part.interface, CALIBRATION):
            run_layers(part.model, inputs, watch)
        return np.mean(found)

    rest = power(split.relayered, "dec.resblocks.0.convs.0.principal/Rest")
    assert rest < 0.5 * power(part, "dec.resblocks.0/LeakyRelu")
    assert power(split.relayered, "dec.resblocks.0.convs.0/Conv") < power(part, "dec.resblocks.0.convs.0/Conv")


def test_a_wrong_direction_stops_the_run(part, monkeypatch):
    def one_way_only(layer, matrix):
        wrong = 1.01 if layer.name.endswith("/Expand") else 1.0
        layer.set_weights([wrong * matrix[None, None], np.zeros(matrix.shape[1], np.float32)])

    monkeypatch.setattr(principal, "_set_kernel", one_way_only)
    with pytest.raises(ParityError, match="principal split"):
        principal.split_principal(part, SPLITS, CALIBRATION, "decoder")


def test_directions_are_orthonormal_ordered_and_have_one_sign():
    generator = np.random.default_rng(3)
    samples = generator.standard_normal((500, 5)) * [5, 1, 3, 0.1, 0.5]
    found = principal.principal_directions(samples.T @ samples, 2)
    assert np.allclose(found.T @ found, np.eye(2), atol=1e-6)
    assert np.abs(found).argmax(0).tolist() == [0, 2] and (found[[0, 2], [0, 1]] > 0).all()


@pytest.mark.parametrize(
    ("match", "rank", "code"),
    [
        ("dec.upz.0", 2, "recipe/rule-matches-nothing"),
        ("dec/LeakyRelu", 1, "recipe/invalid"),
    ],
)
def test_what_cannot_be_split_is_an_error(part, match, rank, code):
    with pytest.raises(RecipeError) as caught:
        principal.split_principal(part, (PrincipalSplit(match=match, rank=rank),), CALIBRATION, "decoder")
    assert caught.value.code == code


def test_a_narrow_convolution_keeps_at_most_half_of_its_directions(part):
    made = principal.split_principal(part, (PrincipalSplit(match=BRANCHES, rank=12),), CALIBRATION, "decoder")
    kept = made.relayered.model.get_layer("dec.resblocks.0.convs.0.principal/Project")
    assert kept.output.shape[-1] == 4 and made.snr_db > 110  # of 8 channels


def test_the_file_is_closer_to_the_float_part_and_counts_what_stays_in_float(part):
    def error_db(settings):
        made = compress_part(part, FLOAT_SUMS, settings, CALIBRATION)
        runner, held = tflite_runner(made.tflite, made.relayered.interface), small_inputs(2, seed=5)
        before = keras_runner(part.model, part.interface)
        return np.mean([compare(before(arrays), runner(arrays)).worst_snr_db for arrays in held]), made.audit

    plain, without = error_db(Compression(equalise=False))
    finer, with_split = error_db(Compression(equalise=False, principal=SPLITS[:1]))
    assert finer > plain + 2.0
    assert not with_split.differences
    assert with_split.float_macs_ratio > without.float_macs_ratio and with_split.macs > without.macs
    kept = {row.realised for row in with_split.rows if ".principal/" in row.op and row.kind == "CONV_2D"}
    assert kept == {"float16"}  # two bytes a weight are enough for what 8 bits hold besides


def test_each_split_has_its_own_range_and_a_shared_rest_the_widest(part):
    first, others = "dec.resblocks.0.convs.0", "dec.resblocks.[!0].convs.0"
    found = principal.split_principal(
        part,
        (
            PrincipalSplit(match=first, rank=3, range_ratio=0.5),
            PrincipalSplit(match=others, rank=3, range_ratio=0.7),
            PrincipalSplit(match="dec.ups.0", rank=2),
        ),
        CALIBRATION,
        "decoder",
    )
    ratios = {name.removesuffix("/Conv").removesuffix("/ConvTranspose"): r for name, r in found.range_ratios.items()}
    assert ratios == {
        "dec.ups.0": 1.0,
        "dec.ups.0.principal/Rest": 1.0,
        first: 0.5,
        "dec.resblocks.1.convs.0": 0.7,
        f"{first}.principal/Rest": 0.7,
    }


def test_a_narrow_range_clips(part):
    """The ratio reaches the file: what is left of a convolution's output has its steps that much finer."""

    def output_scale(ratio):
        splits = (PrincipalSplit(match=BRANCHES, rank=3, range_ratio=ratio),)
        made = compress_part(part, FLOAT_SUMS, Compression(equalise=False, principal=splits), CALIBRATION)
        graph = read_tflite(made.tflite)
        named = [op for op in graph.ops if op.kind == "CONV_2D" and "quant_dec.resblocks.1.convs.0/Conv" in op.name]
        (scale,) = graph.tensors[named[0].outputs[0]].scales
        return scale

    assert output_scale(0.5) == pytest.approx(0.5 * output_scale(1.0), rel=1e-3)


def test_the_last_split_that_matches_wins(part):
    found = principal.split_principal(
        part, (*SPLITS, PrincipalSplit(match="dec.resblocks.1.*", rank=1)), CALIBRATION, "decoder"
    )
    shapes = {
        layer.name: layer.output.shape[-1] for layer in found.relayered.model.layers if layer.name.endswith("/Project")
    }
    assert shapes == {
        "dec.ups.0.principal/Project": 2,
        "dec.resblocks.0.convs.0.principal/Project": 3,
        "dec.resblocks.1.convs.0.principal/Project": 1,
    }
