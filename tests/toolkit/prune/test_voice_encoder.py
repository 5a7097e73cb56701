"""A voice's text encoder is pruned towards the voice given: idle units leave no trace, gates stop, the rest stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.toolkit.prune.voice_runs import gone_on, pruner, train_carelessly
from toolkit.distil.voice_batches import ids_side_by_side
from toolkit.distil.voice_teacher import taught_texts
from toolkit.errors import GateFailed, RecipeError
from toolkit.models.seeded import seeded_voice
from toolkit.models.voice import Voice
from toolkit.models.voice_file import read_voice, write_voice
from toolkit.prune import voice_encoder as pruning
from toolkit.prune.groups import cut, voice_groups
from toolkit.prune.importance import taylor_scores
from toolkit.prune.voice_fidelity import fidelity, within
from toolkit.recipe.shrinking import PruneVoice, checked

CHOOSE = np.random.default_rng(0)
SENTENCES = [CHOOSE.integers(1, 50, 14 + 3 * place).astype(np.int32) for place in range(12)]
HELD_OUT = [CHOOSE.integers(1, 50, 30 + place).astype(np.int32) for place in range(3)]
SETTINGS: dict[str, Any] = {
    "mlp_ratio": 0.5,
    "round_ratio": 0.25,
    "prior_snr_db_min": 0.0,
    "training": {"steps": 20, "batch": 4, "learning_rate": 1e-3, "dropout": 0.0},
}
IDLE, IDLE_HEAD = (3, 20, 63), 1


def pruned(*given: Any, **changes: Any) -> Any:
    done = pruner(SETTINGS, SENTENCES, HELD_OUT)(*given, **changes)
    assert [*done.parts] == ["encoder"] and done.model is done.parts["encoder"].model
    return done.parts["encoder"]


def said(voice: Voice) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat(voice.modules["encoder"](*ids_side_by_side(HELD_OUT, 9)), dim=1)


def with_idle_units() -> Voice:
    """The voice with some channels and one head of every layer that add nothing."""
    voice = seeded_voice()
    stack = voice.modules["encoder"].enc_p.encoder
    with torch.no_grad():
        for block, attention in zip(stack.ffn_layers, stack.attn_layers, strict=True):
            block.conv_2.weight[:, list(IDLE)] = 0.0
            attention.conv_o.weight[:, IDLE_HEAD * 16 :] = 0.0
    return voice


def without(voice: Voice, channels: tuple[int, ...] = IDLE, head: int = IDLE_HEAD) -> Voice:
    gone = {"mlp": channels, "heads": (head,)}
    keeps = {
        group: torch.tensor([unit for unit in range(group.count) if unit not in gone[group.kind]])
        for group in voice_groups(voice.config.encoder)
    }
    weights = cut(voice.modules["encoder"].state_dict(), keeps)
    return pruning.with_encoder(voice, weights, 1)


def test_idle_units_go_without_a_trace():
    voice = with_idle_units()
    smaller = without(voice)
    sizes = smaller.config.encoder
    assert (sizes.filter_channels, sizes.heads, sizes.attention_width, sizes.hidden) == (61, 1, 16, 32)
    assert float((said(smaller) - said(voice)).abs().max()) < 1e-5


@pytest.mark.parametrize("wrong", [{"channels": (4, 20, 63)}, {"head": 0}], ids=["channel", "head"])
def test_comparison_sees_the_wrong_unit_go(wrong):
    voice = with_idle_units()
    assert float((said(without(voice, **wrong)) - said(voice)).abs().max()) > 1e-3


def test_every_dependent_tensor_is_in_its_group():
    voice = seeded_voice()
    before, after = (each.modules["encoder"].state_dict() for each in (voice, without(voice)))
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert changed == {member.name for group in voice_groups(voice.config.encoder) for member in group.members}


def test_a_forgotten_member_does_not_load():
    voice = seeded_voice()
    groups = [replace(group, members=group.members[:-1]) for group in voice_groups(voice.config.encoder)]
    weights = cut(voice.modules["encoder"].state_dict(), {group: torch.arange(1) for group in groups})
    with pytest.raises(RuntimeError, match="size mismatch"):
        pruning.with_encoder(voice, weights, 1)


def test_half_of_the_channels_go_and_what_is_left_learns(tmp_path):
    voice = replace(seeded_voice(), sources={"seeded.onnx": "0" * 64})
    done = pruned(voice, heads_ratio=0.5)
    assert done.best == len(done.rounds) == 2 and all(each.passed for each in done.rounds)
    first, second = done.rounds
    assert (sum(first.inners), sum(second.inners), first.heads, second.heads) == (96, 64, 2, 1)
    assert first.parameters > second.parameters
    assert second.quality.prior_snr_db > second.cut.prior_snr_db + 3.0, "training mends what the cut broke"
    found = read_voice(write_voice(tmp_path / "p.safetensors", done.model))
    assert torch.equal(said(found), said(done.model))
    assert fidelity(found, voice, HELD_OUT) == second.quality
    assert found.config.encoder.inners == second.inners
    assert (
        found.teacher is not None
        and found.teacher.sources == voice.sources
        and found.label.startswith("random weights, not speech, pruned to ")
    )
    for part in ("flow", "decoder"):
        weights = [each.modules[part].state_dict() for each in (voice, found)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert torch.equal(said(voice), said(seeded_voice())), "the voice given is not changed"


def test_gate_stops_and_the_round_before_it_is_kept():
    heard = []

    def hear(candidate: Voice) -> tuple[float, float]:
        heard.append(sum(candidate.config.encoder.inners))
        return (0.2 if heard[-1] <= 64 else 0.0), 1.0

    done = pruned(hear=hear)
    assert [each.passed for each in done.rounds] == [True, False]
    assert (done.best, sum(done.model.config.encoder.inners)) == (1, 96)
    assert heard == [96, 64], "what was given is not compared with itself, and no cut is heard before its training"


@pytest.mark.parametrize(
    ("changes", "heard"),
    [
        ({"mos_drop_max": 0.1}, (0.2, 1.0)),
        ({"speaker_cosine_loss_max": 0.02}, (0.0, 0.97)),
        ({"prior_snr_db_min": 150.0}, (0.0, 1.0)),
        ({"mos_drop_max": 0.1}, (float("nan"), 1.0)),
    ],
    ids=["opinion", "speaker", "prior", "no number"],
)
def test_voice_is_given_back_when_no_round_passes(changes, heard):
    voice = seeded_voice()
    done = pruned(voice, hear=lambda candidate: heard, **changes)
    assert (done.best, len(done.rounds), done.model) == (0, 1, voice)


def test_durations_that_move_are_seen_and_stop_the_rounds():
    voice = seeded_voice()
    moved = without(voice)
    moved.modules["encoder"].enc_p.encoder.norm_layers_2[-1].beta.add_(8.0)
    found = fidelity(moved, voice, HELD_OUT)
    assert fidelity(voice, voice, HELD_OUT).frames_error == 0.0 < found.frames_error
    assert found.frames_error > 1.0
    settings = checked(PruneVoice, SETTINGS | {"prior_snr_db_min": -99.0})
    assert within(replace(found, frames_error=0.5), settings) and not within(found, settings)


def test_interrupted_run_ends_like_one_that_was_not(tmp_path):
    resumed, trained = gone_on(pruned, tmp_path, lambda step, steps: step == 25)  # in the second round
    assert min(trained) == 21, "the first round is not trained again"
    whole = pruned()
    assert resumed.rounds == whole.rounds and torch.equal(said(resumed.model), said(whole.model))
    other = pruned(folder=tmp_path, seed=5)
    assert other.rounds == pruned(seed=5).rounds, "rounds of other settings are not taken up"


@pytest.mark.parametrize("importance", ["taylor", "magnitude"])
def test_idle_units_are_the_first_to_go(importance):
    """As many go as are idle, and leave no trace; of a random voice some channels never open, and are idle too."""
    voice = with_idle_units()
    done = pruned(voice, importance=importance, mlp_ratio=3 / 64, heads_ratio=0.5, round_ratio=0.5,
                  channel_multiple=1, training=SETTINGS["training"] | {"steps": 0})  # fmt: skip
    assert sum(done.rounds[0].inners) == 2 * 61 and done.rounds[0].heads == 1
    assert float((said(done.model) - said(voice)).abs().max()) < 1e-5


def test_the_least_important_hurt_least():
    """Taking out the most important channels instead costs far more: the ranking means something."""
    voice = seeded_voice()
    kind = pruning.PrunableEncoder(
        given=voice, start=voice, settings=checked(PruneVoice, SETTINGS), taught="", held_out=HELD_OUT, hear=None,
        whole={}, texts=taught_texts(voice, SENTENCES, 1, None, with_x=True)[0],
    )  # fmt: skip
    encoder = voice.modules["encoder"]
    groups = [group for group in voice_groups(voice.config.encoder) if group.kind == "mlp"]
    scores = taylor_scores(encoder, groups, kind._projections(encoder, 0))
    left = []
    for descending in (True, False):
        keeps = {group: score.argsort(descending=descending)[:32].sort().values for group, score in scores.items()}
        weights = cut(encoder.state_dict(), keeps)
        left.append(fidelity(pruning.with_encoder(voice, weights, 2), voice, HELD_OUT).prior_snr_db)
    assert left[0] > left[1] + 3.0


def test_what_is_protected_is_refused_before_and_compared_after(monkeypatch):
    for protect in (("enc_p.*",), ("enc_p.encoder.ffn_layers.1.*",)):
        with pytest.raises(RecipeError) as caught:
            pruned(protect=protect)
        assert caught.value.code == "prune/protected"
    heads = {"protect": ("enc_p.encoder.attn_layers.*",), "training": SETTINGS["training"] | {"steps": 0}}
    assert pruned(**heads).best == 2, "no head is to go"
    with pytest.raises(RecipeError, match="attn_layers"):
        pruned(heads_ratio=0.5, **heads)

    voice = seeded_voice()
    train_carelessly(monkeypatch, voice, "flow")
    with pytest.raises(GateFailed, match=r"flow\.") as failed:
        pruned(voice)
    assert failed.value.code == "prune/protected-changed"
    assert pruned(seeded_voice(1), protect=()).best == 2, "a recipe may say otherwise"
