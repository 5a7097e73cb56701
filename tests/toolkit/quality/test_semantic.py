"""Cross-entropy and agreement of a text-to-semantic model, against the same by hand, and against a model made worse."""

import math

import pytest
import torch
from torch.nn import functional

from tests.toolkit.train.small_semantic import CONFIG, small_corpus, trained_model
from toolkit.quality.semantic import judge_semantic


def test_cross_entropy_and_top1_are_those_of_each_sentence_alone():
    model, losses, right = trained_model(), [], []
    for pair in small_corpus().held_out:
        phones, codes = (torch.from_numpy(ids[None]).long() for ids in (pair.phones, pair.codes))
        logits, wanted = model.whole(phones, codes), torch.cat([codes[0], torch.tensor([CONFIG.stop_token])])
        losses += functional.cross_entropy(logits, wanted, reduction="none").tolist()
        right += (logits.argmax(1) == wanted).tolist()
    found = judge_semantic(model, small_corpus().held_out)
    assert found.cross_entropy_nats == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert found.top1_ratio == pytest.approx(sum(right) / len(right))
    assert (found.predictions, found.agreement_ratio) == (len(losses), None)


def test_agreement_is_with_the_reference():
    model, other = trained_model(), trained_model()
    assert judge_semantic(model, small_corpus().held_out, model).agreement_ratio == 1.0
    other.ar_predict_layer.weight.copy_(other.ar_predict_layer.weight.roll(1, dims=0))
    assert judge_semantic(other, small_corpus().held_out, model).agreement_ratio < 0.5


def test_model_that_knows_nothing_has_the_loss_of_a_guess():
    model = trained_model()
    model.ar_predict_layer.weight.zero_()
    found = judge_semantic(model, small_corpus().held_out)
    assert found.cross_entropy_nats == pytest.approx(math.log(CONFIG.vocabulary), rel=1e-5)
