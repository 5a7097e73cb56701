"""Channels and heads that do nothing can go without a trace; taking the wrong ones, or part of one, is seen."""

from dataclasses import replace

import pytest
import torch

from converters.errors import InputError
from tests.toolkit.train.small_semantic import CONFIG, small_corpus, trained_model
from toolkit.models.gpt_sovits.semantic import load_semantic
from toolkit.models.gpt_sovits.semantic_batch import batch_logits, batch_of
from toolkit.models.gpt_sovits.semantic_config import semantic_config
from toolkit.prune.groups import Member, cut, semantic_groups

GONE_CHANNELS, GONE_HEAD = (3, 20, 63), 2


def _with_idle_units():
    """The trained model with some channels and one head of every layer that add nothing."""
    model = trained_model()
    each = CONFIG.head_width
    for layer in model.h.layers:
        layer.linear2.weight[:, list(GONE_CHANNELS)] = 0.0
        layer.self_attn.out_proj.weight[:, GONE_HEAD * each : (GONE_HEAD + 1) * each] = 0.0
    return model


def _keeps(groups, channels=GONE_CHANNELS, head=GONE_HEAD):
    return {
        group: torch.tensor(
            [unit for unit in range(group.count) if unit not in (channels if group.kind == "mlp" else (head,))]
        )
        for group in groups
    }


def _logits(model):
    with torch.inference_mode():
        return batch_logits(model, batch_of(small_corpus().held_out, CONFIG.stop_token))


def _pruned(model, **wrong):
    weights = cut(model.state_dict(), _keeps(semantic_groups(model.config), **wrong))
    return load_semantic(weights, heads=CONFIG.heads - 1)


def test_idle_units_go_without_a_trace():
    model = _with_idle_units()
    smaller = _pruned(model)
    assert (smaller.config.inner, smaller.config.heads, smaller.config.attention_width) == (61, 3, 24)
    assert smaller.config.head_width == CONFIG.head_width
    assert float((_logits(smaller) - _logits(model)).abs().max()) < 1e-5


@pytest.mark.parametrize("wrong", [{"channels": (4, 20, 63)}, {"head": 1}], ids=["channel", "head"])
def test_comparison_sees_the_wrong_unit_go(wrong):
    model = _with_idle_units()
    assert float((_logits(_pruned(model, **wrong)) - _logits(model)).abs().max()) > 1e-3


def test_every_dependent_tensor_is_in_its_group():
    """Nothing else in the model has that size along any axis that the cut does not touch."""
    model = trained_model()
    smaller = _pruned(model)
    changed = {name for name, value in smaller.state_dict().items() if value.shape != model.state_dict()[name].shape}
    assert changed == {member.name for group in semantic_groups(CONFIG) for member in group.members}


def test_forgotten_member_does_not_load():
    model = trained_model()
    groups = tuple(replace(group, members=group.members[:-1]) for group in semantic_groups(CONFIG))
    weights = cut(model.state_dict(), _keeps(groups))
    with pytest.raises(InputError, match="out_proj"):
        load_semantic(weights, heads=CONFIG.heads - 1)


def test_sizes_are_read_from_the_tensors_layer_by_layer():
    model = trained_model()
    first = semantic_groups(CONFIG)[0]
    weights = cut(model.state_dict(), {first: torch.arange(16)})
    assert semantic_config(weights, heads=4).inners == (16, 64)


def test_units_of_a_packed_projection_are_heads():
    packed = torch.arange(3 * 4 * 2 * 5.0).reshape(24, 5)
    member = Member(name="in_proj", axis=0, split=(3, 4, 2), counts=1)
    assert member.units(packed).shape == (4, 30)
    kept = member.kept(packed, torch.tensor([1, 3]))
    assert torch.equal(kept, packed[[2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23]])
