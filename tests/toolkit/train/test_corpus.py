"""Sentences, their pronunciation, and codes of what a voice makes of them."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.data import load_manifest
from toolkit.data.semantic_corpus import load_corpus, save_corpus
from toolkit.errors import DataError
from toolkit.models.seeded import seeded_voice
from toolkit.text.english import english_phones
from toolkit.train.corpus import CorpusSettings, phone_durations_ms, synthesise_corpus, voice_prior
from toolkit.train.pronunciation import spoken_form, spoken_pieces
from toolkit.train.sentences import corpus_texts, generated
from toolkit.train.speech_codes import fit_codebook, speech_features

TINY = CorpusSettings(training=4, held_out=2, codebook_sentences=4, codes=12)


def test_no_sentence_is_trained_on_and_held_out():
    texts = corpus_texts(300, 50, 0)
    assert (len(texts.training), len(texts.held_out)) == (300, 50)
    groups = [set(texts.training), set(texts.held_out), set(texts.evaluation)]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 300 + 50 + len(texts.evaluation)
    assert texts.evaluation == tuple(sentence.text for sentence in load_manifest().split("evaluation"))


def test_grammar_repeats_itself_and_leaves_out_what_is_known():
    first = generated(40, 3)
    assert first == generated(40, 3) != generated(40, 4)
    assert not set(generated(40, 3, known=tuple(first[:5]))) & set(first[:5])


def test_one_front_end_speaks_to_both_readers():
    for text in (*corpus_texts(60, 5, 0).held_out, "Did the dentist grab an unusual watch, or a shovel?"):
        assert spoken_form(text)[0] == english_phones(text)
    assert spoken_form("The bus was late.")[1] == "ðə bˈʌs wɑːz lˈeɪt."


def _wave(seed, seconds=1.0):
    return np.random.default_rng(seed).standard_normal(int(22050 * seconds)).astype(np.float32) * 0.1


def test_features_are_25_a_second_and_follow_the_sound():
    pytest.importorskip("resemblyzer")
    quiet, other = speech_features(_wave(0), 22050), speech_features(_wave(0) * np.hanning(22050), 22050)
    assert quiet.shape == (25, 256) and quiet.dtype == np.float16
    assert np.abs(quiet - other).max() > 0.01
    # Loudness is levelled before the encoder hears it.
    assert np.abs(speech_features(_wave(0) * 0.25, 22050).astype(np.float32) - quiet).max() < 2e-3


def test_codebook_codes_are_the_nearest_centres():
    frames = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    book = fit_codebook(frames, 10, 0)
    scaled = (frames - book.mean) / book.deviation
    nearest = np.square(scaled[:, None] - book.centres[None]).sum(-1).argmin(1)
    assert np.array_equal(book.codes(frames), nearest) and len(set(nearest.tolist())) == 10
    with pytest.raises(DataError) as caught:
        fit_codebook(frames[:9], 10, 0)
    assert caught.value.code == "data/too-little"


def test_corpus_repeats_itself_goes_on_and_sees_other_settings(tmp_path):
    pytest.importorskip("resemblyzer")
    voice = seeded_voice()
    first = synthesise_corpus(voice, TINY, tmp_path / "a")
    assert [len(group) for group in (first.corpus.training, first.corpus.held_out)] == [4, 2]
    assert first.corpus.sha256 == synthesise_corpus(voice, TINY, tmp_path / "b").corpus.sha256
    # What was heard is taken up: a shard that is changed changes the codes.
    (shard,) = (tmp_path / "a").rglob("heard-*.npz")
    with np.load(shard) as stored:
        np.savez(shard, **{**stored, "frames": stored["frames"][::-1]})
    assert synthesise_corpus(voice, TINY, tmp_path / "a").corpus.sha256 != first.corpus.sha256
    noisy = synthesise_corpus(voice, replace(TINY, noise_scale=0.9), tmp_path / "a")
    assert noisy.corpus.sha256 != first.corpus.sha256


def test_durations_are_the_voice_s_own_and_fill_the_sentence():
    voice, pieces = seeded_voice(), spoken_pieces("The bus, it was late.")
    prior = voice_prior(voice, pieces, 3, 0.4)
    found = phone_durations_ms(voice, pieces, prior)
    frame_ms = 1000 * voice.hop / voice.sample_rate_hz
    assert len(found) == len(pieces) and found.min() >= 0
    assert found.sum() == round(int(prior.durations.sum()) * frame_ms)
    # "B" is one symbol and a blank; what is before it is "DH AH0" and a space, each symbol with its blank.
    before = 2 + 2 * len("ðə ")
    known = np.asarray(prior.durations).reshape(-1)
    assert abs(found[2] - known[before : before + 2].sum() * frame_ms) <= 1.0
    # Twin: a sentence timed with another seed has other durations.
    other = phone_durations_ms(voice, pieces, voice_prior(voice, pieces, 4, 2.0))
    assert not np.array_equal(found, other)


def test_a_corpus_keeps_its_durations(tmp_path):
    pytest.importorskip("resemblyzer")
    made = synthesise_corpus(seeded_voice(), TINY, tmp_path / "a").corpus
    save_corpus(made, tmp_path / "corpus.npz")
    for before, after in zip(made.training, load_corpus(tmp_path / "corpus.npz").training, strict=True):
        assert np.array_equal(before.durations_ms, after.durations_ms)
        assert abs(before.durations_ms.sum() / 40 - len(before.codes)) <= 1
