"""Phones are placed on frames exactly; what is wrong with durations is an error."""

import numpy as np
import pytest

from toolkit.engine.length_regulator import frames_of, regulate


def test_whole_durations_repeat_rows():
    placed = regulate(np.array([2, 1, 3]))
    rows = np.array([[1.0, 2.0, 3.0]]) @ placed.shares
    assert rows.tolist() == [[1, 1, 2, 3, 3, 3]]


def test_frames_are_shared_by_how_much_of_them_a_phone_takes():
    placed = regulate(np.array([1.25, 0.5, 0.0, 1.25]))
    assert placed.frames == 3
    assert placed.shares.T.tolist() == [[1, 0, 0, 0], [0.25, 0.5, 0, 0.25], [0, 0, 0, 1]]
    assert np.allclose(placed.shares.sum(axis=0), 1)


def test_timing_is_of_the_phone_in_the_middle_of_a_frame():
    placed = regulate(np.array([2.0, 12.0]))
    over, log_length, since, until = placed.timing
    assert over[:2].tolist() == [0.25, 0.75] and over[2] == pytest.approx(0.5 / 12)
    assert np.allclose(np.exp(log_length), [2] * 2 + [12] * 12)
    assert np.allclose(since[:3] * 8, [0.5, 1.5, 0.5]) and since[-1] == 1, "told up to eight frames"
    assert until[2] == 1 and until[-1] * 8 == pytest.approx(0.5)


@pytest.mark.parametrize("frames", [1, 5, 9])
def test_a_sentence_ends_where_it_is_told_to(frames):
    placed = regulate(np.array([2.0, 2.5, 1.0]), frames)
    assert placed.frames == frames and np.allclose(placed.shares.sum(axis=0), 1)
    assert placed.shares[-1, -1] > 0 or frames < 5


def test_the_shortest_sentence_has_one_frame_and_slower_is_longer():
    assert regulate(np.array([0.0, 0.1])).frames == 1
    logs = np.log(np.array([[2.0, 4.0]]))
    assert np.allclose(frames_of(logs, 1.5), [[3, 6]])


@pytest.mark.parametrize("wrong", [[], [1.0, -0.1], [1.0, np.nan], [np.inf]])
def test_impossible_durations_are_refused(wrong):
    with pytest.raises(ValueError):
        regulate(np.array(wrong))
