"""What fine-tuning is fed."""

import numpy as np
import pytest

from converters.errors import InputError
from tests.toolkit.compress.small_vocoder import FRAMES, small_inputs, small_vocoder
from tests.toolkit.compress.test_unroundable import ROWS, attention_part, given
from toolkit.compress.windows import Windows


def test_signals_are_cut_where_something_is_said():
    part, samples = small_vocoder(), small_inputs(9)
    windows = Windows(part.model, part.interface, samples, 16, 3)
    assert windows.window == 16
    assert windows.shapes == {"z": (3, 1, 16, 6), "mask": (3, 1, 16, 1)}
    (batch,) = windows.training(np.random.default_rng(0))
    assert [value.shape for value in batch] == [(3, 1, 16, 6), (3, 1, 16, 1)]
    wide = Windows(part.model, part.interface, samples, 10 * FRAMES, 3)
    assert wide.window == FRAMES
    held = [np.concatenate(batch, axis=-1) for batch in windows.held_out()]
    again = [np.concatenate(batch, axis=-1) for batch in windows.held_out()]
    assert all(np.array_equal(a, b) for a, b in zip(held, again, strict=True))


def test_ids_and_biases_are_fed_whole_and_one_by_one():
    part, samples = attention_part(), given(6)
    windows = Windows(part.model, part.interface, samples, 4, 3)
    assert (windows.window, windows.shapes) == (None, None)
    batches = windows.training(np.random.default_rng(0))
    assert [[value.shape for value in batch] for batch in batches] == [[(1, ROWS), (1, 1, ROWS)]] * 3
    held = windows.held_out()
    assert len(held) == 1 and np.array_equal(held[0][0], samples[0]["ids"])
    used = {batch[0].tobytes() for step in range(20) for batch in windows.training(np.random.default_rng(step))}
    assert samples[0]["ids"].tobytes() not in used


def test_one_sample_cannot_be_trained_and_judged_on():
    part = attention_part()
    with pytest.raises(InputError, match="at least 2"):
        Windows(part.model, part.interface, given(1), 4, 1)
