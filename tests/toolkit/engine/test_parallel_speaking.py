"""The engine speaks with a convolutional student in place of the token loop."""

import numpy as np
import pytest

from tests.toolkit.engine.toy_model import DEFAULT_GRAPHS, SYMBOLS, W, toy_bundle, toy_opener, toy_voice
from toolkit.engine.degrade import Ladder
from toolkit.engine.length_regulator import regulate
from toolkit.engine.loading import GraphLoader
from toolkit.engine.parallel_codes import ParallelDecoder
from toolkit.engine.residency import Residency
from toolkit.engine.singing import rungs_of
from toolkit.engine.speaking import Engine, Sentence, SpeechReport
from toolkit.engine.tempo import checked_speed
from toolkit.errors import EngineError

SUNG = tuple(name for name in DEFAULT_GRAPHS if "t2s" not in name)
PARALLEL = (*SUNG, "nar_phones_8", "nar_phones_24", "nar_frames_16", "nar_frames_200")
PHONES = np.array([3, 0, 7, 12, 1], np.int32)


def _loader():
    return GraphLoader(Residency(1 << 34), opener=toy_opener)


def _spoken(bundle, phones=PHONES, *, seed=0, voice=0, **options):
    engine = Engine(bundle, _loader(), Ladder(rungs_of(bundle)), memory_short=lambda: False)
    report = SpeechReport()
    sentences = [Sentence(phones=phones)]
    pieces = list(engine.speak(toy_voice(voice), sentences, seed=seed, report=report, **options))
    return np.concatenate([piece.samples for piece in pieces]), report


def test_codes_are_those_of_regulated_rows_in_any_bucket(tmp_path):
    placed = regulate(1 + PHONES / 4)
    expected = (W["predict"][:-1] @ (W["text"][PHONES].T @ placed.shares)).argmax(axis=0)
    for number, graphs in enumerate((PARALLEL, (*SUNG, "nar_phones_24", "nar_frames_200"))):
        bundle = toy_bundle(tmp_path / str(number), graphs)
        with _loader().using(bundle) as running:
            assert np.array_equal(ParallelDecoder(bundle, running).codes(PHONES), expected)


def test_the_engine_says_them_and_nothing_is_drawn(tmp_path):
    bundle = toy_bundle(tmp_path, PARALLEL)
    samples, report = _spoken(bundle, noise_scale=0.0)
    assert report.codes == regulate(1 + PHONES / 4).frames and report.step_seconds == 0.0
    other, _ = _spoken(bundle, seed=5, noise_scale=0.0)
    assert np.array_equal(samples, other) and np.abs(samples).max() > 0
    slower, again = _spoken(bundle, noise_scale=0.0, speed=checked_speed(0.8))
    assert len(slower) > len(samples) and again.codes == report.codes


def test_other_phones_are_heard(tmp_path):
    """Twin."""
    bundle = toy_bundle(tmp_path, PARALLEL)
    other = PHONES.copy()
    other[2] = 30
    assert len(_spoken(bundle, other)[0]) > len(_spoken(bundle)[0])


def test_a_bundle_without_such_graphs_has_no_such_decoder(tmp_path):
    with _loader().using(toy_bundle(tmp_path)) as running, pytest.raises(EngineError) as caught:
        ParallelDecoder(toy_bundle(tmp_path), running)
    assert caught.value.code == "engine/bundle"


@pytest.mark.parametrize("phones", [np.arange(25) % SYMBOLS, np.full(20, SYMBOLS - 1)])
def test_a_sentence_too_long_for_the_bundle_is_one_error(tmp_path, phones):
    with _loader().using(toy_bundle(tmp_path, PARALLEL)) as running, pytest.raises(EngineError) as caught:
        ParallelDecoder(toy_bundle(tmp_path, PARALLEL), running).codes(phones)
    assert caught.value.code == "engine/too-long"
