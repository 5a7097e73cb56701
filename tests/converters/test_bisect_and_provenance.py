"""Names and values find one another across layouts."""

from __future__ import annotations

import numpy as np

from converters.bisect import best_agreement, first_divergence
from converters.provenance import fingerprint, match_by_value, parameter_owner, paths_of, torch_path

RNG = np.random.default_rng(0)
SIGNAL = RNG.standard_normal((1, 6, 1, 9)).astype(np.float32)


def test_values_agree_across_layouts():
    rank3 = SIGNAL[:, :, 0]
    for candidate in (SIGNAL, SIGNAL.transpose(0, 2, 3, 1), rank3, rank3.transpose(0, 2, 1)):
        for reference in (SIGNAL, rank3):
            found = best_agreement(reference, candidate)
            assert found is not None and found.max_abs == 0.0


def test_square_signal_takes_the_layout_that_agrees():
    square = RNG.standard_normal((1, 6, 1, 6)).astype(np.float32)
    assert best_agreement(square, square.transpose(0, 2, 3, 1)).max_abs == 0.0


def test_flipped_channels_do_not_agree():
    assert best_agreement(SIGNAL, SIGNAL[:, ::-1]).snr_db < 20.0


def test_values_of_another_size_are_not_compared():
    assert best_agreement(SIGNAL, SIGNAL[..., :5]) is None


def test_first_diverging_name_in_order_of_execution():
    reference = {name: RNG.standard_normal(8).astype(np.float32) for name in ("a/Conv", "b/Conv", "c/Conv")}
    candidate = {**reference, "b/Conv": reference["b/Conv"] + 0.1, "c/Conv": reference["c/Conv"] + 0.2}
    assert first_divergence(reference, candidate).node == "b/Conv"
    assert first_divergence(reference, candidate, order=["c/Conv", "b/Conv"]).node == "c/Conv"
    assert first_divergence(reference, dict(reference)) is None


def test_paths_and_owners():
    assert torch_path("dec.ups.0/DepthToTime/Reshape_in") == "dec.ups.0"
    assert paths_of(["a/Conv", "b/Add", "a/Conv_1"]) == {"a": ("a/Conv", "a/Conv_1"), "b": ("b/Add",)}
    assert parameter_owner("dec.conv_pre.weight") == "dec.conv_pre"


def test_constants_get_their_names_back_by_value():
    kernel, other, zeros = SIGNAL[0, :, :, :3], SIGNAL[0, :, :, 3:6], np.zeros(4, np.float32)
    named = {"a.weight": kernel, "b.weight": other, "a.bias": zeros, "b.bias": zeros}
    lost = {
        "k1": other.transpose(2, 1, 0),
        "k2": kernel.transpose(1, 2, 0),
        "z1": zeros,
        "z2": zeros,
        "new": kernel + 1,
    }
    found = match_by_value(lost, named)
    assert found == {"k1": "b.weight", "k2": "a.weight", "z1": "a.bias", "z2": "b.bias"}
    assert fingerprint(kernel) != fingerprint(other)
