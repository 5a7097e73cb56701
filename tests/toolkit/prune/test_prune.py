"""Pruning stops at the gate, keeps the best, repeats itself, goes on after an interruption, leaves protected parts."""

from dataclasses import replace

import pytest
import torch

from tests.toolkit.train.small_semantic import CODES, CONFIG, small_corpus, trained_model
from toolkit.errors import GateFailed, RecipeError
from toolkit.prune.groups import semantic_groups
from toolkit.prune.importance import cross_entropies, magnitude_scores, taylor_scores
from toolkit.prune.protection import refuse_protected, verify_protected
from toolkit.prune.rounds import planned_rounds
from toolkit.prune.semantic import prune_semantic, unpruned_control
from toolkit.quality.semantic import judge_semantic
from toolkit.recipe.shrinking import Prune, checked

SETTINGS = {
    "mlp_ratio": 0.5,
    "heads_ratio": 0.25,
    "round_ratio": 0.25,
    "cross_entropy_rise_max": 0.3,
    "training": {"steps": 20, "learning_rate": 2e-3, "dropout": 0.0},
}


def _pruned(tmp_path=None, **changes):
    return prune_semantic(trained_model(), small_corpus(), checked(Prune, SETTINGS | changes), checkpoint_dir=tmp_path)


def test_half_of_the_channels_go_and_the_gate_holds():
    done = _pruned()
    assert done.best == len(done.rounds) == 2
    assert sum(done.model.config.inners) == 64 and done.model.config.heads == 3
    assert done.rounds[1].parameters < done.rounds[0].parameters
    rise = judge_semantic(done.model, small_corpus().held_out).cross_entropy_nats - done.before.cross_entropy_nats
    assert rise <= 0.3
    assert rise == pytest.approx(done.rounds[1].quality.cross_entropy_nats - done.before.cross_entropy_nats, abs=1e-6)


def test_gate_stops_and_the_round_before_it_is_kept():
    def judge(model):
        found = judge_semantic(model, small_corpus().held_out)
        return replace(found, cross_entropy_nats=9.0) if sum(model.config.inners) <= 64 else found

    done = prune_semantic(trained_model(), small_corpus(), checked(Prune, SETTINGS), judge=judge)
    assert [each.passed for each in done.rounds] == [True, False]
    assert done.best == 1 and sum(done.model.config.inners) == 96


def test_model_is_given_back_when_no_round_passes():
    model = trained_model()
    done = prune_semantic(
        model, small_corpus(), checked(Prune, SETTINGS),
        judge=lambda each: replace(
            judge_semantic(each, small_corpus().held_out), cross_entropy_nats=0.0 if each is model else float("nan")
        ),
    )  # fmt: skip
    assert (done.best, len(done.rounds)) == (0, 1)
    assert done.model is model


def test_interrupted_run_ends_like_one_that_was_not(tmp_path):
    def stop(step, steps, loss):
        if step == 25:  # in the second round
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune_semantic(trained_model(), small_corpus(), checked(Prune, SETTINGS), checkpoint_dir=tmp_path, on_step=stop)
    trained = []
    resumed = prune_semantic(
        trained_model(), small_corpus(), checked(Prune, SETTINGS), checkpoint_dir=tmp_path,
        on_step=lambda step, steps, loss: trained.append(step),
    )  # fmt: skip
    assert min(trained) == 21, "the first round is not trained again"
    whole = _pruned()
    assert resumed.rounds == whole.rounds
    assert all(torch.equal(a, b) for a, b in zip(resumed.model.parameters(), whole.model.parameters(), strict=True))


def test_rounds_of_other_settings_are_not_taken_up(tmp_path):
    _pruned(tmp_path)
    other = _pruned(tmp_path, seed=5)
    assert other.rounds == _pruned(seed=5).rounds


def test_given_model_is_what_is_listened_to_where_the_data_is_wrong():
    """Trained on codes that are all one off, a model that hears the given one stays near it; a deaf one goes."""
    right = small_corpus()
    wrong = replace(right, training=tuple(replace(p, codes=(p.codes + 1) % CODES) for p in right.training))
    found = {
        name: prune_semantic(trained_model(), wrong, checked(Prune, SETTINGS | {
            "heads_ratio": 0.0, "round_ratio": 0.5, "importance": "magnitude", "cross_entropy_rise_max": 99.0,
            "teaching": teaching,
        })).rounds[0].quality
        for name, teaching in (("taught", {"alpha": 1.0}), ("alone", None))
    }  # fmt: skip
    assert found["taught"].agreement_ratio > found["alone"].agreement_ratio + 0.2
    assert found["taught"].cross_entropy_nats < found["alone"].cross_entropy_nats - 0.5


def test_control_learns_with_the_loss_of_the_pruned(tmp_path):
    """Beside a teacher or without, control and pruned model do the same: the two losses give two controls."""
    found = [
        unpruned_control(trained_model(), small_corpus(), checked(Prune, SETTINGS | {"teaching": teaching}), 2)
        for teaching in ({}, {}, None)
    ]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("importance", ["taylor", "magnitude"])
def test_the_important_are_not_the_idle(importance):
    model = trained_model()
    idle = (5, 40)
    for layer in model.h.layers:
        layer.linear2.weight[:, list(idle)] = 0.0
        layer.linear1.weight[list(idle)] = 0.0
        layer.linear1.bias[list(idle)] = 0.0
    groups = semantic_groups(CONFIG)
    scores = (
        taylor_scores(model, groups, cross_entropies(model, small_corpus().training, 0))
        if importance == "taylor"
        else magnitude_scores(model.state_dict(), groups)
    )
    for group, score in scores.items():
        if group.kind == "mlp":
            assert set(idle) <= set((score == 0).nonzero().flatten().tolist())
            assert float(score.max()) > 0


def test_the_least_important_hurt_least():
    """Taking out the most important channels instead costs far more: the ranking means something."""
    model, corpus = trained_model(), small_corpus()
    scores = taylor_scores(model, semantic_groups(CONFIG), cross_entropies(model, corpus.training, 0))
    losses = []
    for descending in (False, True):
        hurt = trained_model()
        for index, layer in enumerate(hurt.h.layers):
            score = next(s for g, s in scores.items() if g.place == f"h.layers.{index}" and g.kind == "mlp")
            layer.linear2.weight[:, score.argsort(descending=descending)[:16]] = 0.0
        losses.append(judge_semantic(hurt, corpus.held_out).cross_entropy_nats)
    assert losses[1] > losses[0] + 0.2


def test_protected_parts_are_refused_before_and_compared_after():
    groups = semantic_groups(CONFIG)
    refuse_protected(groups, ("flow.*", "dec.*"))
    with pytest.raises(RecipeError) as caught:
        refuse_protected(groups, ("flow.*", "h.layers.1.linear2.*"))
    assert caught.value.code == "prune/protected"
    with pytest.raises(RecipeError):
        _pruned(protect=("h.layers.0.*",))
    before = {"flow.a": torch.ones(2), "dec.b": torch.ones(2), "enc_p.c": torch.ones(2)}
    assert verify_protected(before, before | {"enc_p.c": torch.zeros(1)}, ("flow.*", "dec.*")) == 2
    for broken in ({"flow.a": torch.tensor([1.0, 1.0 + 1e-6])}, {"dec.b": torch.ones(1)}):
        with pytest.raises(GateFailed) as failed:
            verify_protected(before, before | broken, ("flow.*", "dec.*"))
        assert failed.value.code == "prune/protected-changed"


def test_rounds_are_counted_without_rounding_errors():
    assert planned_rounds(checked(Prune, {"mlp_ratio": 0.3, "round_ratio": 0.1})) == 3
    assert planned_rounds(checked(Prune, {})) == 10
