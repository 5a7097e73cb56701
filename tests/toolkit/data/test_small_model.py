"""The trained text-to-semantic model in calibration_data is what its card says."""

import json

import pytest

from toolkit.data.semantic_corpus import load_corpus
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.pipeline.gpt_sovits import semantic_model
from toolkit.pipeline.shrink_semantic import DEFAULT_CORPUS, DEFAULT_MODEL
from toolkit.quality.semantic import judge_semantic


@pytest.fixture(scope="module")
def model():
    return semantic_model(read_checkpoint(DEFAULT_MODEL, "gpt"))


@pytest.fixture(scope="module")
def corpus(model):
    return load_corpus(DEFAULT_CORPUS, model.config.symbols)


def test_it_is_as_good_as_its_card_says(model, corpus):
    card = json.loads(DEFAULT_MODEL.with_suffix(".json").read_text())
    assert DEFAULT_MODEL.stat().st_size == card["checkpoint_bytes"] < 10_000_000
    assert corpus.sha256 == card["corpus_sha256"]
    wanted, found = card["quality"]["evaluation"], judge_semantic(model, corpus.evaluation)
    # The card was written before the weights were rounded to half precision.
    assert found.cross_entropy_nats == pytest.approx(wanted["cross_entropy_nats"], abs=5e-3)
    assert found.predictions == wanted["predictions"]


def test_judgement_sees_feed_forward_blocks_that_say_nothing(model, corpus):
    """Twin: without its feed-forward blocks the model is not what the card says."""
    wanted = judge_semantic(model, corpus.evaluation[:4]).cross_entropy_nats
    weights = [layer.linear2.weight for layer in model.h.layers]
    kept = [weight.clone() for weight in weights]
    for weight in weights:
        weight.zero_()
    try:
        assert judge_semantic(model, corpus.evaluation[:4]).cross_entropy_nats > wanted + 0.1
    finally:
        for weight, was in zip(weights, kept, strict=True):
            weight.copy_(was)


def test_no_sentence_is_both_trained_on_and_held_out(corpus):
    trained = {(pair.phones.tobytes(), pair.codes.tobytes()) for pair in corpus.training}
    texts = {pair.phones.tobytes() for pair in corpus.training}
    for pair in (*corpus.held_out, *corpus.evaluation):
        assert (pair.phones.tobytes(), pair.codes.tobytes()) not in trained and pair.phones.tobytes() not in texts


def test_every_sentence_says_when_its_phones_are_said(corpus):
    for pair in (*corpus.training, *corpus.held_out, *corpus.evaluation):
        assert len(pair.durations_ms) == len(pair.phones)
        assert abs(pair.durations_ms.sum() / 40 - len(pair.codes)) <= 1
