"""Speed of speech: the host resamples as torch does, and no sentence outgrows the flow."""

import numpy as np
import pytest
import torch

from tests.toolkit.engine.toy_model import CHANNELS, HOP, SYMBOLS, toy_bundle, toy_opener, toy_voice
from toolkit.engine.acoustics import longest_codes
from toolkit.engine.degrade import Ladder
from toolkit.engine.loading import GraphLoader
from toolkit.engine.residency import Residency
from toolkit.engine.singing import rungs_of
from toolkit.engine.speaking import Engine, Sentence, SpeechReport
from toolkit.engine.tempo import FASTEST, SLOWEST, checked_speed, frames_at, most_frames, resampled
from toolkit.errors import EngineError

SPEEDS = (SLOWEST, 0.77, 0.99, 1.01, 1.25, 1.5, FASTEST)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("frames", [1, 2, 9, 150, 500])
def test_the_host_resamples_as_torch_does(frames: int, speed: float) -> None:
    signal = np.random.default_rng(frames).standard_normal((1, CHANNELS, frames), np.float32)
    length = frames_at(speed, frames)
    expected = torch.nn.functional.interpolate(torch.from_numpy(signal), size=length, mode="linear").numpy()
    found = resampled(signal, length)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-4)  # places of 500 frames in float32
    if frames > 2:  # the twin: a place one frame off is seen
        assert np.abs(np.roll(found, 1, axis=2) - expected).max() > 0.1


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("room", [1, 2, 31, 200, 500])
def test_most_frames_fit_and_one_more_does_not(room: int, speed: float) -> None:
    most = most_frames(speed, room)
    assert frames_at(speed, most) <= room < frames_at(speed, most + 1)


def test_speed_one_changes_no_length() -> None:
    assert frames_at(1.0, 77) == 77 and most_frames(1.0, 77) == 77


@pytest.mark.parametrize("speed", [0.0, -1.0, 0.59, 1.66, float("nan"), float("inf")])
def test_a_speed_out_of_range_is_refused(speed: float) -> None:
    with pytest.raises(EngineError, match=r"not within 0\.6 and 1\.65") as caught:
        checked_speed(speed)
    assert caught.value.code == "engine/bad-setting"


def _said(engine: Engine, speed: float, phones: int = 12) -> tuple[int, SpeechReport]:
    """Samples of one sentence without its pause, and what it took."""
    sentence = Sentence(phones=np.random.default_rng(1).integers(0, SYMBOLS, phones).astype(np.int32))
    report = SpeechReport()
    pieces = list(engine.speak(toy_voice(), [sentence], speed=speed, report=report))
    return sum(len(piece.samples) for piece in pieces if piece.rung != "pause"), report


def _engine(bundle) -> Engine:
    return Engine(bundle, GraphLoader(Residency(1 << 34), opener=toy_opener), Ladder(rungs_of(bundle)))


def test_faster_speech_says_the_same_codes_in_fewer_samples(tmp_path) -> None:
    engine = _engine(toy_bundle(tmp_path))
    lengths = {speed: _said(engine, speed) for speed in (1.0, 1.25, 1.5)}
    codes = {report.codes for _, report in lengths.values()}
    assert len(codes) == 1
    for speed, (samples, report) in lengths.items():
        assert samples == frames_at(speed, 2 * report.codes) * HOP


def test_slow_speech_ends_where_the_flow_does_and_says_so(tmp_path) -> None:
    names = ("t2s_prefill_32", "t2s_step_160", "text_encoder_16", "flow_16", "vocoder_stream_14")
    bundle = toy_bundle(tmp_path, names)
    assert [longest_codes(bundle, 12, speed) for speed in (1.0, 0.6, 1.5)] == [16, 9, 16]
    samples, report = _said(_engine(bundle), 0.6)
    assert samples == frames_at(0.6, 18) * HOP <= 32 * HOP
    assert report.notes == ["sentence 0: cut at 9 codes, the longest this bundle takes at speed 0.6"]


def test_an_engine_refuses_a_speed_before_it_says_anything(tmp_path) -> None:
    with pytest.raises(EngineError, match="speed 3"):
        _said(_engine(toy_bundle(tmp_path)), 3.0)
