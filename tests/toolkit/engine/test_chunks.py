"""Where a sentence is cut: every frame once, enough context inside, none wasted at the ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.engine.chunks import middle, next_chunk, plan_chunks, window
from toolkit.errors import EngineError


@given(st.integers(1, 400), st.integers(0, 13), st.integers(1, 90))
def test_every_frame_is_sung_once_with_context_unless_the_sentence_ends_there(frames, overlap, more):
    length = 2 * overlap + more
    chunks = plan_chunks(frames, length, overlap)
    assert [frame for chunk in chunks for frame in range(chunk.first, chunk.end)] == list(range(frames))
    for chunk in chunks:
        fed_end = chunk.start + length
        assert chunk.start == 0 or chunk.first - chunk.start >= overlap
        assert chunk.end == frames or fed_end - chunk.end >= overlap
        assert chunk.end <= fed_end


def test_no_context_is_spent_where_nothing_stands():
    """3 s of GPT-SoVITS (150 frames) through a graph of 96 frames with a reach of 13: two runs, not three."""
    first, second = plan_chunks(150, 96, 13)
    assert (first.start, first.first, first.end) == (0, 0, 83)
    assert (second.start, second.first, second.end) == (70, 83, 150)


def test_windows_are_the_frames_of_the_chunk_and_absent_beyond_the_end():
    latent = np.arange(1, 31, dtype=np.float32).reshape(1, 1, 30)
    last = next_chunk(22, 30, 14, 4)
    fed, mask = window(latent, last, 14)
    assert fed[0, 0].tolist() == [*range(19, 31), 0.0, 0.0]
    assert mask[0, 0].tolist() == [1.0] * 12 + [0.0] * 2
    assert middle(fed, last, 1).tolist() == list(range(23, 31))


def test_a_graph_shorter_than_its_context_is_refused():
    with pytest.raises(EngineError, match="nothing between"):
        plan_chunks(40, 26, 13)
