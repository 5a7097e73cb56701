"""A voice's flow is pruned towards the flow given: idle gates leave no trace, and gates of the recipe stop rounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.toolkit.prune.voice_runs import gone_on, pruner, train_carelessly
from toolkit.distil.voice_teacher import flow_of, taught_latents
from toolkit.errors import GateFailed, RecipeError
from toolkit.models.seeded import seeded_voice
from toolkit.models.voice import Voice
from toolkit.models.voice_file import read_voice, write_voice
from toolkit.prune import voice_flow as pruning
from toolkit.prune.groups import cut, flow_groups
from toolkit.prune.importance import taylor_scores
from toolkit.prune.voice import prune_voice
from toolkit.prune.voice_fidelity import VoiceFidelity, fidelity, latents_of, within
from toolkit.prune.voice_part import weights_of
from toolkit.recipe.shrinking import PruneVoice, checked

CHOOSE = np.random.default_rng(0)
SENTENCES = [CHOOSE.integers(1, 50, 14 + 3 * place).astype(np.int32) for place in range(12)]
HELD_OUT = [CHOOSE.integers(1, 50, 30 + place).astype(np.int32) for place in range(3)]
SETTINGS: dict[str, Any] = {
    "mlp_ratio": 0.0,
    "flow_ratio": 0.5,
    "round_ratio": 0.25,
    "protect": ("dec.*",),
    "prior_snr_db_min": 0.0,
    "latent_snr_db_min": 0.0,
    "training": {"steps": 10, "batch": 4, "learning_rate": 1e-3, "dropout": 0.0},
    "flow_training": {"steps": 15, "batch": 4, "learning_rate": 1e-3, "dropout": 0.0},
}
IDLE = {"flow.flows.0.enc": (3, 20, 31), "flow.flows.2.enc": (0, 5, 17)}


pruned = pruner(SETTINGS, SENTENCES, HELD_OUT)


@torch.inference_mode()
def said(voice: Voice) -> torch.Tensor:
    z_p = torch.randn(1, 32, 50, generator=torch.Generator().manual_seed(0))
    return voice.modules["flow"](z_p, torch.ones(1, 1, 50))


def with_idle_gates() -> Voice:
    """The voice with some gates of every layer that write nothing."""
    voice = seeded_voice()
    with torch.no_grad():
        for place, coupling in enumerate(flow_of(voice.modules["flow"]).flows[::2]):
            for layer in coupling.enc.res_skip_layers:
                layer.weight[:, list(IDLE[f"flow.flows.{2 * place}.enc"])] = 0.0
    return voice


def without(voice: Voice, idle: dict[str, tuple[int, ...]] | None = None) -> Voice:
    gone = idle or IDLE
    keeps = {
        group: torch.tensor([unit for unit in range(group.count) if unit not in gone[group.place.rsplit(".", 2)[0]]])
        for group in flow_groups(voice.config.flow)
    }
    return pruning.with_flow(voice, cut(voice.modules["flow"].state_dict(), keeps))


def test_idle_gates_go_without_a_trace():
    voice = with_idle_gates()
    smaller = without(voice)
    assert smaller.config.flow.gates == ((29, 29), (29, 29)) and smaller.config.flow.hidden == 32
    assert float((said(smaller) - said(voice)).abs().max()) < 1e-5


def test_comparison_sees_the_wrong_gate_go():
    voice = with_idle_gates()
    wrong = IDLE | {"flow.flows.2.enc": (0, 5, 18)}
    assert float((said(without(voice, wrong)) - said(voice)).abs().max()) > 1e-3


def test_every_dependent_tensor_is_in_its_group():
    voice = seeded_voice()
    before, after = (each.modules["flow"].state_dict() for each in (voice, without(voice)))
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert changed == {member.name for group in flow_groups(voice.config.flow) for member in group.members}


@pytest.mark.parametrize("forgotten", [0, 1, 2])
def test_a_forgotten_member_does_not_load(forgotten):
    voice = seeded_voice()
    groups = [
        replace(group, members=tuple(each for place, each in enumerate(group.members) if place != forgotten))
        for group in flow_groups(voice.config.flow)
    ]
    weights = cut(voice.modules["flow"].state_dict(), {group: torch.arange(8) for group in groups})
    with pytest.raises(RuntimeError, match="size mismatch"):
        pruning.with_flow(voice, weights)


def test_a_flow_whose_gates_are_all_there_says_so_as_before():
    voice = seeded_voice()
    whole = pruning.with_flow(without(voice), voice.modules["flow"].state_dict())
    assert whole.config.flow == voice.config.flow and whole.config.flow.gates is None


def test_half_of_the_gates_go_and_what_is_left_learns(tmp_path):
    voice = replace(seeded_voice(), sources={"seeded.onnx": "0" * 64})
    done = pruned(voice)
    assert [*done.parts] == ["flow"] and done.complete
    first, second = done.parts["flow"].rounds
    assert (sum(first.inners), sum(second.inners), first.heads) == (96, 64, 2)
    assert first.parameters > second.parameters
    assert all(each.quality.latent_snr_db > each.cut.latent_snr_db for each in (first, second)), "training mends"
    assert all(each.quality.prior_snr_db == 200.0 for each in (first, second)), "the encoder is the same"
    found = read_voice(write_voice(tmp_path / "p.safetensors", done.model))
    assert torch.equal(said(found), said(done.model))
    assert fidelity(found, voice, HELD_OUT).latent_snr_db == second.quality.latent_snr_db
    assert sum(map(sum, found.config.flow.gate_widths)) == 64
    assert all(width % 8 == 0 for widths in found.config.flow.gate_widths for width in widths)
    assert found.teacher is not None and found.teacher.sources == voice.sources
    assert done.protected == len(voice.modules["decoder"].state_dict())
    assert torch.equal(said(voice), said(seeded_voice())), "the voice given is not changed"


def test_encoder_goes_first_and_the_flow_from_what_is_left_of_it(tmp_path):
    lines = []
    done = prune_voice(
        seeded_voice(), checked(PruneVoice, SETTINGS | {"mlp_ratio": 0.5}), SENTENCES, HELD_OUT,
        checkpoint_dir=tmp_path, on_round=lambda part, fact, of: lines.append((part, fact.number, of)),
    )  # fmt: skip
    assert lines == [("encoder", 1, 2), ("encoder", 2, 2), ("flow", 1, 2), ("flow", 2, 2)]
    config = done.model.config
    assert (sum(config.encoder.inners), sum(map(sum, config.flow.gate_widths))) == (64, 64)
    encoder, flow = done.parts["encoder"], done.parts["flow"]
    assert flow.before == encoder.rounds[-1].quality, "what was judged is not judged again"
    assert done.quality is not None and done.quality.prior_snr_db == encoder.rounds[-1].quality.prior_snr_db
    assert done.quality.latent_snr_db == flow.rounds[-1].quality.latent_snr_db < 200.0


def test_flow_goes_on_from_the_encoder_that_held():
    """The encoder's second round is heard to fail; the flow starts from its first."""

    def hear(candidate: Voice) -> tuple[float, float]:
        return (0.2 if sum(candidate.config.encoder.inners) <= 64 else 0.0), 1.0

    done = pruned(hear=hear, mlp_ratio=0.5)
    assert [each.passed for each in done.parts["encoder"].rounds] == [True, False]
    assert [each.passed for each in done.parts["flow"].rounds] == [True, True]
    assert sum(done.model.config.encoder.inners) == 96 and not done.complete


@pytest.mark.parametrize(
    ("changes", "heard"),
    [
        ({"mos_drop_max": 0.1}, (0.2, 1.0)),
        ({"speaker_cosine_loss_max": 0.02}, (0.0, 0.97)),
        ({"latent_snr_db_min": 150.0}, (0.0, 1.0)),
        ({"mos_drop_max": 0.1}, (float("nan"), 1.0)),
    ],
    ids=["opinion", "speaker", "latent", "no number"],
)
def test_voice_is_given_back_when_no_round_passes(changes, heard):
    voice = seeded_voice()
    done = pruned(voice, hear=lambda candidate: heard, **changes)
    assert (done.model, done.quality, done.complete) == (voice, None, False)
    assert len(done.parts["flow"].rounds) == 1


def test_a_latent_that_is_no_number_holds_nothing():
    settings = checked(PruneVoice, SETTINGS)
    found = VoiceFidelity(prior_snr_db=200.0, frames_error=0.0, latent_snr_db=1.0)
    assert within(found, settings) and not within(replace(found, latent_snr_db=float("nan")), settings)


def test_interrupted_run_ends_like_one_that_was_not(tmp_path):
    in_its_second_round = (18, 30)
    resumed, trained = gone_on(pruned, tmp_path, lambda *step: step == in_its_second_round, mlp_ratio=0.25)
    assert trained == [*range(16, 31)], "neither the encoder's rounds nor the flow's first are trained again"
    whole = pruned(mlp_ratio=0.25)
    assert torch.equal(said(resumed.model), said(whole.model))
    assert all(resumed.parts[part].rounds == whole.parts[part].rounds for part in ("encoder", "flow"))


@pytest.mark.parametrize("importance", ["taylor", "magnitude"])
def test_idle_gates_are_the_first_to_go(importance):
    voice = with_idle_gates()
    done = pruned(voice, importance=importance, flow_ratio=3 / 32, round_ratio=0.5, channel_multiple=1,
                  flow_training=SETTINGS["flow_training"] | {"steps": 0})  # fmt: skip
    assert done.model.config.flow.gates == ((29, 29), (29, 29))
    assert float((said(done.model) - said(voice)).abs().max()) < 1e-5


def test_the_least_important_hurt_least():
    voice = seeded_voice()
    latents = taught_latents(voice, SENTENCES, None)[0]
    kind = pruning.PrunableFlow(
        given=voice, start=voice, settings=checked(PruneVoice, SETTINGS), taught="", held_out=HELD_OUT, hear=None,
        whole={}, latents=latents, held_latents=latents_of(voice, HELD_OUT),
    )  # fmt: skip
    module, groups = voice.modules["flow"], flow_groups(voice.config.flow)
    scores = taylor_scores(module, groups, kind._projections(flow_of(module), 0))
    left = []
    for descending in (True, False):
        keeps = {group: score.argsort(descending=descending)[:20].sort().values for group, score in scores.items()}
        smaller = pruning.with_flow(voice, cut(module.state_dict(), keeps))
        left.append(kind.judge_cut(smaller).latent_snr_db)
    assert left[0] > left[1] + 3.0


def test_a_protected_flow_is_refused_and_what_is_protected_stays(monkeypatch):
    for protect in (("flow.*", "dec.*"), ("flow.flows.2.enc.*",)):
        with pytest.raises(RecipeError) as caught:
            pruned(protect=protect)
        assert caught.value.code == "prune/protected"
    voice = seeded_voice()
    done = pruned(voice, protect=("enc_p.*", "dec.*"))
    before, after = weights_of(voice), weights_of(done.model)
    kept = [name for name in before if name.startswith(("enc_p.", "dec."))]
    assert done.protected == len(kept) > 0 and all(torch.equal(before[name], after[name]) for name in kept)

    train_carelessly(monkeypatch, voice, "decoder")
    with pytest.raises(GateFailed, match=r"dec\.") as failed:
        pruned(voice)
    assert failed.value.code == "prune/protected-changed"


def test_a_recipe_that_takes_nothing_out_is_refused():
    with pytest.raises(RecipeError, match="nothing is to be taken out"):
        checked(PruneVoice, {"mlp_ratio": 0.0})
