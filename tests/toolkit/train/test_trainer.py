"""Training lowers the held-out loss, repeats itself, and goes on after an interruption as if there had been none."""

from dataclasses import replace

import pytest
import torch

from tests.toolkit.train.small_semantic import CONFIG, SETTINGS, small_corpus, trained_model
from toolkit.errors import CheckpointError, GateFailed
from toolkit.models.gpt_sovits.semantic_file import write_semantic
from toolkit.quality.semantic import judge_semantic
from toolkit.train.loop import CHECKPOINT, batch_places, rate_share
from toolkit.train.small_semantic import untrained
from toolkit.train.trainer import lengths_of, train_semantic

SHORT = replace(SETTINGS, steps=6, dropout=0.2, checkpoint_every_steps=2)


class _Interrupted(Exception):
    pass


def _trained(folder=None, stop_at=None, settings=SHORT, seed=0):
    def stop(step, steps, loss):
        if step == stop_at:
            raise _Interrupted

    model = untrained(CONFIG, seed)
    losses = train_semantic(model, small_corpus().training, settings, checkpoint_dir=folder, on_progress=stop)
    return model.state_dict(), losses


def _same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_training_teaches_what_the_held_out_sentences_need():
    corpus = small_corpus()
    before, after = (
        judge_semantic(untrained(CONFIG, 0), corpus.held_out),
        judge_semantic(trained_model(), corpus.held_out),
    )
    assert before.cross_entropy_nats > 2.5
    assert after.cross_entropy_nats < 1.3 and after.top1_ratio > 0.55
    assert after.predictions == sum(len(pair.codes) + 1 for pair in corpus.held_out)


def test_same_settings_give_the_same_weights_and_another_seed_does_not():
    assert _same(_trained()[0], _trained()[0])
    assert not _same(_trained()[0], _trained(settings=replace(SHORT, seed=1))[0])


def test_interrupted_run_ends_like_one_that_was_not(tmp_path):
    whole = _trained()
    with pytest.raises(_Interrupted):
        _trained(tmp_path, stop_at=5)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 4
    weights, losses = _trained(tmp_path)
    assert _same(weights, whole[0]) and losses == whole[1]


@pytest.mark.parametrize("other", [{"seed": 1}, {"settings": replace(SHORT, learning_rate=1e-3)}])
def test_checkpoint_of_another_run_is_not_taken_up(tmp_path, other):
    with pytest.raises(_Interrupted):
        _trained(tmp_path, stop_at=5)
    resumed, _ = _trained(tmp_path, **other)
    assert _same(resumed, _trained(**other)[0])


def test_diverged_training_is_an_error():
    with pytest.raises(GateFailed) as caught:
        train_semantic(
            untrained(CONFIG, 0), small_corpus().training, SHORT, loss=lambda logits, *_: (logits * torch.inf).sum()
        )
    assert caught.value.code == "train/diverged"


def test_weights_half_precision_cannot_hold_are_not_written(tmp_path):
    model = trained_model()
    model.ar_predict_layer.weight[0, 0] = 1e6
    with pytest.raises(CheckpointError):
        write_semantic(tmp_path / "a.ckpt", model, "", {})
    assert list(tmp_path.iterdir()) == []


def test_an_epoch_meets_every_sentence_once():
    pairs = small_corpus().training
    met = [place for step in range(6) for place in batch_places(lengths_of(pairs), 16, 0, step)]
    assert sorted(met) == list(range(96))
    assert met != [place for step in range(6, 12) for place in batch_places(lengths_of(pairs), 16, 0, step)]


def test_learning_rate_rises_then_falls():
    shares = [rate_share(step, replace(SETTINGS, steps=100)) for step in range(100)]
    assert shares[0] < shares[4] == 1.0 and shares[-1] < 0.05
    assert shares[5:] == sorted(shares[5:], reverse=True)
