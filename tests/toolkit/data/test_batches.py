"""Part inputs from sentences, and windows of them."""

import numpy as np
import pytest

from converters.errors import InputError
from toolkit.data import load_manifest
from toolkit.data.batches import part_inputs, windows
from toolkit.models.seeded import seeded_voice


def test_inputs_and_windows() -> None:
    voice, sentences = seeded_voice(0), load_manifest().split("calibration")[:3]
    inputs = part_inputs(voice, "flow", 256, sentences)
    assert [item["z_p"].shape for item in inputs] == [(1, 32, 256)] * 3
    cut = windows(inputs, 64, count=5, noise=np.random.default_rng(0))
    again = windows(inputs, 64, count=5, noise=np.random.default_rng(0))
    assert all(np.array_equal(a["z_p"], b["z_p"]) for a, b in zip(cut, again, strict=True))
    assert all(item["z_p"].shape == (1, 32, 64) and item["mask"].all() for item in cut)
    assert len({item["z_p"].tobytes() for item in cut}) > 1
    with pytest.raises(InputError, match="windows of 300 frames"):
        windows(inputs, 300, count=1, noise=np.random.default_rng(0))
