"""One set of 8-bit weights for all lengths of a part, and a proof that a length may use them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from converters import frameworks
from converters.keras_graph.run import keras_runner
from converters.parity import compare
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.compress.small_vocoder import BRANCHES, FLOAT_SUMS, FRAMES, small_inputs, small_vocoder
from toolkit.compress import other_lengths
from toolkit.compress.other_lengths import OneLength, compress_like
from toolkit.compress.run import compress_part
from toolkit.recipe.schema import Compression, Finetune, LevelSplit, PrincipalSplit, Sparsity

LONG = 2 * FRAMES
CALIBRATION = small_inputs(8, frames=LONG)
PROBES = small_inputs(3, seed=7)
EVERYTHING = Compression(
    channel_gains=True,
    principal=(PrincipalSplit(match=BRANCHES, rank=2),),
    levels=(LevelSplit(match=BRANCHES, begin=0.1),),
)


def _longest(settings):
    given = small_vocoder(frames=LONG)
    return OneLength(given=given, made=compress_part(given, FLOAT_SUMS, settings, CALIBRATION))


@pytest.fixture(scope="module")
def first():
    return _longest(EVERYTHING)


def _stored(content):
    """Name to type, scales and bytes of every weight that is stored in 8 bits."""
    graph = read_tflite(content)
    return {
        graph.tensors[op.inputs[1]].name: (
            graph.tensors[op.inputs[1]].data.tobytes(),
            graph.tensors[op.inputs[1]].scales,
        )
        for op in graph.ops
        if op.kind == "CONV_2D" and graph.tensors[op.inputs[1]].dtype == "INT8"
    }


def _snr_db(made, exact):
    pairs = [
        (keras_runner(exact.model, exact.interface)(arrays), tflite_runner(made.tflite, exact.interface)(arrays))
        for arrays in small_inputs(3, seed=5)
    ]
    said, meant = (np.concatenate([pair[side]["audio"].ravel() for pair in pairs]) for side in (1, 0))
    return compare({"audio": meant}, {"audio": said}).worst_snr_db


def test_another_length_stores_the_same_weights_and_sounds_as_good(first):
    short = small_vocoder()
    made, why = compress_like(short, first, PROBES)
    assert made is not None and "equal in float" in why
    assert not made.audit.differences
    assert _stored(made.tflite) == _stored(first.made.tflite) != {}
    assert made.relayered.interface == short.interface
    alone = compress_part(small_vocoder(), FLOAT_SUMS, EVERYTHING, small_inputs(8))
    assert _stored(made.tflite) != _stored(alone.tflite)
    assert _snr_db(made, short) > _snr_db(alone, short) - 1.0


def test_trained_weights_are_shared_too():
    first = _longest(Compression(finetune=Finetune(steps=20, learning_rate=1e-3, segment_frames=FRAMES)))
    if not first.made.tuned.kept:
        pytest.fail("nothing was trained: choose settings that help")
    made, _ = compress_like(small_vocoder(), first, PROBES)
    trained, exact = (model.model.get_layer("dec.resblocks.0.convs.0/Conv") for model in (made.relayered, made.exact))
    assert not np.array_equal(trained.get_weights()[0], exact.get_weights()[0])
    assert _stored(made.tflite) == _stored(first.made.tflite)


def test_a_part_that_computes_something_else_keeps_scales_of_its_own(first):
    """Only weights that differ as constants of a length do are its own; behind moved scales they are refused."""
    other = small_vocoder(seed=3)
    made, why = compress_like(other, first, PROBES)
    assert made is None and "scales of its own" in why and "moved" in why


def test_a_wrong_weight_on_the_way_is_caught(first, monkeypatch):
    real = other_lengths._in_this_length

    def spoilt(*arguments):
        made = real(*arguments)
        layer = made.model.get_layer("dec.resblocks.0.convs.0/Conv")
        kernel, bias = layer.get_weights()
        kernel[0, 1, 2, 3] += 0.1
        layer.set_weights([kernel, bias])
        return made

    monkeypatch.setattr(other_lengths, "_in_this_length", spoilt)
    made, why = compress_like(small_vocoder(), first, PROBES)
    assert made is None and "computes something else" in why


def test_other_layers_are_another_part(first):
    short = small_vocoder()
    fewer = type(short.model)(short.model.inputs, short.model.get_layer("dec.conv_post/Conv").output, name="decoder")
    made, why = compress_like(replace(short, model=fewer), first, PROBES)
    assert made is None and "1 layers stand in one length only" in why


def test_scales_along_time_are_of_one_length():
    """Where a layout holds time in the channels, a gain per channel has numbers for one length only."""

    def part(frames, *, gained=False):
        keras = frameworks.tf_keras()
        from converters.keras_graph.layers import ConstantMath

        start = keras.Input(batch_size=1, shape=(1, frames, 1), name="z")
        end = keras.layers.Reshape((1, 1, frames), name="dec/Reshape")(start)
        if gained:
            end = ConstantMath("multiply", (frames,), name="dec/Reshape/scale")(end)
        return SimpleNamespace(model=keras.Model(start, end))

    first = OneLength(given=part(8), made=SimpleNamespace(exact=part(8, gained=True), tuned=None))
    made, why = compress_like(part(6), first, PROBES)
    assert made is None and "as many channels as its length says" in why


@pytest.mark.parametrize(
    ("settings", "shares"),
    [(Compression(), True), (Compression(sparsity=Sparsity(target_ratio=0.5, steps=2)), False)],
)
def test_pruned_parts_do_not_share(settings, shares):
    assert _longest(settings).shares is shares
