"""A wave that was judged is not judged again; another one is, and its numbers are those of a judge asked afresh."""

import importlib.util

import numpy as np
import pytest

from toolkit.data import load_manifest
from toolkit.data.audio import read_wave
from toolkit.quality import dnsmos, evaluate, mos, pitch, second_speaker, speaker, words
from toolkit.quality.judgements import Judgements

RATE_HZ = 16000
needs_judges = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("distillmos", "resemblyzer", "speechmos")),
    reason="the judges are not installed",
)
EVERY_JUDGE = {"with_second_speaker": True, "with_second_mos": True, "with_pitch": True}


def _waves(count, seed):
    draw = np.random.default_rng(seed)
    return [draw.standard_normal(900).astype(np.float32) for _ in range(count)]


@pytest.fixture
def asked(monkeypatch):
    """Judges that answer with a wave's own numbers, and note every wave they were asked about."""
    heard = {name: [] for name in ("mos", "dnsmos", "speaker", "second_speaker", "pitch", "words")}

    def one(name, answer):
        return lambda wave, rate_hz: heard[name].append(float(wave[0])) or answer(wave)

    monkeypatch.setattr(mos, "mean_opinion", lambda new, rate_hz: [one("mos", lambda w: w[0])(w, 0) for w in new])
    monkeypatch.setattr(dnsmos, "overall_opinion", one("dnsmos", lambda w: w[1]))
    monkeypatch.setattr(speaker, "speaker_vector", one("speaker", lambda w: w[:4]))
    monkeypatch.setattr(second_speaker, "second_speaker_vector", one("second_speaker", lambda w: w[4:8]))
    monkeypatch.setattr(pitch, "pitch", one("pitch", lambda w: 100 + w[:50]))
    monkeypatch.setattr(words, "heard_words", one("words", lambda w: "yes" if w[2] > 0 else "no"))
    return heard


def _judged(reference, candidate, judgements):
    texts = ["yes"] * len(reference)
    return evaluate(reference, candidate, RATE_HZ, texts=texts, judgements=judgements, **EVERY_JUDGE)


def test_the_same_reference_is_not_judged_again(asked):
    reference, judgements = _waves(3, 0), Judgements()
    for seed in (1, 2):
        _judged([wave.copy() for wave in reference], _waves(3, seed), judgements)
    first = [float(wave[0]) for wave in reference]
    for name, heard in asked.items():
        assert len(heard) == 9, name
        assert [value for value in heard if value in first] == first, name
    assert set(judgements.made.values()) == {9} and set(judgements.found.values()) == {3}


def test_a_wave_that_differs_in_one_sample_or_in_rate_is_judged(asked):
    (wave,) = _waves(1, 0)
    other = wave.copy()
    other[0] = np.nextafter(other[0], np.float32(1))
    judgements = Judgements()
    assert judgements.opinions([wave, other, wave], RATE_HZ) == [wave[0], other[0], wave[0]]
    assert asked["mos"] == [wave[0], other[0]]
    judgements.opinions([wave], RATE_HZ // 2)
    judgements.second_opinions([wave], RATE_HZ)  # another judge has not heard it
    assert len(asked["mos"]) == 3 and asked["dnsmos"] == [wave[0]]


def test_a_kept_finding_is_the_waves_own_where_order_differs(asked):
    reference, candidate = _waves(2, 0), _waves(2, 1)
    afresh, kept = _judged(reference, candidate, None), Judgements()
    _judged(candidate[::-1], reference, kept)
    assert _judged(reference, candidate, kept) == afresh
    assert all(len(heard) == 8 for heard in asked.values())


@needs_judges
def test_opinions_do_not_depend_on_what_else_is_judged():
    manifest = load_manifest()
    waves = [read_wave(manifest.clip_path(clip)) for clip in manifest.clips[:3]]
    rate_hz = waves[0][1]
    heard = [wave for wave, _ in waves]
    together = Judgements().opinions(heard, rate_hz)
    one_by_one = Judgements()
    assert [one_by_one.opinions([wave], rate_hz)[0] for wave in reversed(heard)] == together[::-1]
