"""A whole sentence on the clock: exactly as long as asked, phases that add up, bundles that cannot say it refused."""

import math

import pytest

from tests.toolkit.engine.toy_model import toy_bundle, toy_opener
from toolkit.bench.sentence import engine_speaker, made_voice, of_length, race_sentences
from toolkit.engine.speaking import check_voice
from toolkit.errors import BenchError, EngineError

SAID = {"codes": 12, "phones": 5, "threads": 1}


def _speaker(folder, **changes):
    return engine_speaker(toy_bundle(folder), **{**SAID, **changes}, opener=toy_opener)


def test_a_sentence_is_as_long_as_asked_whatever_the_seed(tmp_path):
    say = _speaker(tmp_path)
    for seed in range(4):  # the speaker itself refuses another number of codes or samples
        found = say(seed)
        parts = found.prefill + found.steps + found.acoustics + found.vocoder
        assert math.isclose(parts, found.whole, rel_tol=1e-9)
        assert 0 < found.first_audio <= found.whole


@pytest.mark.parametrize("changes", [{"codes": 4000}, {"codes": 0}, {"phones": 4000}])
def test_a_sentence_the_bundle_cannot_say_is_refused(tmp_path, changes):
    with pytest.raises(BenchError, match="this bundle makes at most"):
        _speaker(tmp_path, **changes)


def test_a_bundle_without_sound_is_refused(tmp_path):
    bundle = toy_bundle(tmp_path, ("t2s_prefill_64", "t2s_step_96"), contents="codes")
    with pytest.raises(BenchError, match="no sound"):
        of_length(bundle, 10, 5)


def test_a_made_voice_speaks_with_a_folded_bundle_only_to_be_timed(tmp_path):
    bundle = toy_bundle(tmp_path, style_sha256="a" * 64)
    with pytest.raises(EngineError, match="another voice folded"):
        check_voice(bundle, made_voice(bundle))
    check_voice(of_length(bundle, 12, 5), made_voice(bundle))


def test_speakers_take_turns_after_one_sentence_each_that_does_not_count():
    said, rounds = [], []
    speakers = {name: lambda seed, name=name: said.append((name, seed)) or seed for name in ("a", "b")}
    found = race_sentences(speakers, 2, lambda done, of: rounds.append((done, of)))
    assert said == [("a", 0), ("b", 0), ("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert found == {"a": [0, 1], "b": [0, 1]}
    assert rounds == [(1, 3), (2, 3), (3, 3)]
