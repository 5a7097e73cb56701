"""One cut by norm: channels that do nothing go first, and what stays is as it was."""

import pytest
import torch

from tests.toolkit.train.small_semantic import small_corpus, trained_model
from toolkit.errors import RecipeError
from toolkit.models.gpt_sovits.semantic import load_semantic
from toolkit.prune.untrained import cut_by_norm
from toolkit.quality.semantic import judge_semantic
from toolkit.recipe.shrinking import Prune

HALF = Prune(mlp_ratio=0.5)


def _with_idle(model, silent):
    """The model with half of its channels doing nothing: every second one of each layer, where ``silent``."""
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    for layer in range(model.config.layers):
        if silent:
            weights[f"h.layers.{layer}.linear2.weight"][:, ::2] = 0.0
    return load_semantic(weights, heads=model.config.heads, where="idle")


@pytest.mark.parametrize(("silent", "same"), [(True, True), (False, False)])
def test_channels_that_do_nothing_go_first(silent, same):
    """The twin: where all channels do something, taking half of them out is seen."""
    model = _with_idle(trained_model(), silent)
    smaller = cut_by_norm(model, HALF)
    assert sum(smaller.config.inners) == sum(model.config.inners) // 2
    agreement = judge_semantic(smaller, small_corpus().held_out, model).agreement_ratio
    assert (agreement == 1.0) is same
    before = {name: value for name, value in model.state_dict().items() if "self_attn" in name}
    after = smaller.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_what_is_protected_is_not_cut():
    with pytest.raises(RecipeError):
        cut_by_norm(trained_model(), HALF.model_copy(update={"protect": ("h.layers.0.*",)}))
