"""A voice's decoder is pruned towards the sound of the one given: idle channels leave no trace, gates stop rounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.toolkit.models.vits.light_voices import light_voice
from tests.toolkit.prune.voice_runs import gone_on, pruner, train_carelessly
from toolkit.distil.decoder_start import light_config
from toolkit.distil.decoder_teacher import taught_waves
from toolkit.errors import GateFailed, RecipeError
from toolkit.models.seeded import seeded_voice
from toolkit.models.voice import Voice
from toolkit.models.voice_file import read_voice, write_voice
from toolkit.prune import voice_decoder as pruning
from toolkit.prune.groups import Group, cut, decoder_groups
from toolkit.prune.importance import taylor_scores
from toolkit.prune.voice_fidelity import VoiceFidelity, fidelity, latents_of, within
from toolkit.recipe.shrinking import DecoderStudent, PruneVoice, checked

CHOOSE = np.random.default_rng(0)
SENTENCES = [CHOOSE.integers(1, 50, 40 + 3 * place).astype(np.int32) for place in range(12)]
HELD_OUT = [CHOOSE.integers(1, 50, 60 + place).astype(np.int32) for place in range(2)]
SETTINGS: dict[str, Any] = {
    "mlp_ratio": 0.0,
    "decoder_ratio": 0.25,
    "round_ratio": 0.125,
    "channel_multiple": 1,
    "protect": ("flow.*",),
    "decoder_spread": "even",
    "mel_distance_max": 9.0,
    "decoder_training": {"steps": 8, "batch": 2, "learning_rate": 1e-3, "dropout": 0.0},
}
IDLE = (1, 3)
KINDS = pytest.mark.parametrize("resblock", ["1", "2"])


pruned = pruner(SETTINGS, SENTENCES, HELD_OUT)


@torch.inference_mode()
def said(voice: Voice) -> torch.Tensor:
    z = torch.randn(1, 32, 30, generator=torch.Generator().manual_seed(0))
    return voice.modules["decoder"](z, torch.ones(1, 1, 30))


def with_idle_channels(resblock: str) -> Voice:
    """The voice with some channels of every group that nothing reads."""
    voice = seeded_voice(resblock=resblock)
    weights = voice.modules["decoder"].state_dict()
    for group in decoder_groups(pruning.hifigan(voice)):
        for member in group.members:
            if (member.axis == 1 and "ups" not in member.name) or member is group.members[-1]:
                weights[member.name].movedim(member.axis, 0)[list(IDLE)] = 0.0
    return voice


def without(voice: Voice, gone: tuple[int, ...] = IDLE, groups: tuple[Group, ...] | None = None) -> Voice:
    keeps = {
        group: torch.tensor([unit for unit in range(group.count) if unit not in gone])
        for group in groups or decoder_groups(pruning.hifigan(voice))
    }
    return pruning.with_decoder(voice, cut(voice.modules["decoder"].state_dict(), keeps))


@KINDS
def test_idle_channels_go_without_a_trace(resblock):
    voice = with_idle_channels(resblock)
    smaller = without(voice)
    sizes = pruning.hifigan(smaller)
    assert (sizes.initial, sizes.stage_widths) == (30, (14, 6, 2))
    assert sizes.block_inners == (((14, 14),) * 3 + ((6, 6),) * 3 + ((2, 2),) * 3 if resblock == "1" else ())
    assert float((said(smaller) - said(voice)).abs().max()) < 1e-5


@KINDS
def test_comparison_sees_the_wrong_channel_go(resblock):
    voice = with_idle_channels(resblock)
    assert float((said(without(voice, (1, 2))) - said(voice)).abs().max()) > 1e-3


@KINDS
def test_every_dependent_tensor_is_in_its_group(resblock):
    voice = seeded_voice(resblock=resblock)
    before, after = (each.modules["decoder"].state_dict() for each in (voice, without(voice)))
    changed = {name for name in before if before[name].shape != after[name].shape}
    groups = decoder_groups(pruning.hifigan(voice))
    assert changed == {member.name for group in groups for member in group.members}
    assert set(before) - changed == ({"dec.conv_post.bias"} & set(before))


@KINDS
def test_a_forgotten_member_does_not_load(resblock):
    voice = seeded_voice(resblock=resblock)
    for number, group in enumerate(decoder_groups(pruning.hifigan(voice))):
        if number % 4:
            continue
        for place in range(len(group.members)):
            broken = replace(group, members=tuple(each for at, each in enumerate(group.members) if at != place))
            with pytest.raises(RuntimeError):
                without(voice, groups=(broken,))


def test_a_decoder_whose_channels_are_all_there_says_so_as_before():
    voice = seeded_voice(resblock="1")
    whole = pruning.with_decoder(without(voice), voice.modules["decoder"].state_dict())
    assert whole.config.generator == voice.config.generator


@KINDS
def test_a_quarter_of_the_channels_goes_and_what_is_left_learns(tmp_path, resblock):
    voice = seeded_voice(resblock=resblock)
    before = said(voice)
    done = pruned(voice)
    assert [*done.parts] == ["decoder"] and done.complete
    first, second = done.parts["decoder"].rounds
    stages = 1 + len(voice.config.generator.up_rates)
    assert (first.inners[:stages], second.inners[:stages]) == ((28, 14, 7, 4), (24, 12, 6, 3))
    assert sum(second.inners[stages:]) == (126 if resblock == "1" else 0)
    assert second.quality.mel_distance < second.cut.mel_distance, "training mends what the cut broke"
    assert second.quality.latent_snr_db == second.quality.prior_snr_db == 200.0
    found = read_voice(write_voice(tmp_path / "p.safetensors", done.model))
    assert torch.equal(said(found), said(done.model)) and found.config == done.model.config
    assert fidelity(found, voice, HELD_OUT).mel_distance == second.quality.mel_distance > 0.0
    assert done.protected == len(voice.modules["flow"].state_dict())
    assert torch.equal(said(voice), before), "the voice given is not changed"


def test_decoder_is_last_and_starts_from_what_is_left_of_the_others(tmp_path):
    asked = {"mlp_ratio": 0.125, "flow_ratio": 0.125, "protect": (), "latent_snr_db_min": -9.0}
    steps = {name: {"steps": 2, "batch": 2} for name in ("training", "flow_training")}
    done = pruned(**asked, **steps)
    assert [*done.parts] == ["encoder", "flow", "decoder"] and done.protected == 0
    assert done.parts["decoder"].before == done.parts["flow"].rounds[-1].quality
    assert done.quality is not None and done.quality.mel_distance > 0.0 and done.quality.latent_snr_db < 200.0
    config = done.model.config
    assert sum(config.encoder.inners) == 112 and sum(map(sum, config.flow.gate_widths)) == 112
    assert sum(pruning.hifigan(done.model).stage_widths) + pruning.hifigan(done.model).initial == 45


def test_by_importance_some_stage_loses_more_than_another():
    short = SETTINGS["decoder_training"] | {"steps": 0}
    done = pruned(seeded_voice(resblock="1"), decoder_spread="importance", round_ratio=0.25, decoder_training=short)
    (found,) = done.parts["decoder"].rounds
    assert sum(found.inners[:4]) == 45 and sum(found.inners[4:]) == 126
    assert found.inners[:4] != (24, 12, 6, 3) and len({found.inners[4 + place] for place in range(6)}) > 1


@pytest.mark.parametrize(
    ("changes", "heard"),
    [
        ({"mos_drop_max": 0.1}, (0.2, 1.0)),
        ({"speaker_cosine_loss_max": 0.02}, (0.0, 0.97)),
        ({"mel_distance_max": 0.0}, (0.0, 1.0)),
    ],
    ids=["opinion", "speaker", "mel"],
)
def test_voice_is_given_back_when_no_round_passes(changes, heard):
    voice = seeded_voice()
    done = pruned(voice, hear=lambda candidate: heard, **changes)
    assert (done.model, done.quality, done.complete) == (voice, None, False)


def test_a_distance_that_is_no_number_holds_nothing():
    settings = checked(PruneVoice, SETTINGS)
    found = VoiceFidelity(prior_snr_db=200.0, frames_error=0.0, mel_distance=0.1)
    assert within(found, settings) and not within(replace(found, mel_distance=float("nan")), settings)


def test_interrupted_run_ends_like_one_that_was_not(tmp_path):
    resumed, trained = gone_on(pruned, tmp_path, lambda step, steps: step == 12)  # in the second round
    assert trained == [*range(9, 17)], "the first round is not trained again"
    whole = pruned()
    assert resumed.parts["decoder"].rounds == whole.parts["decoder"].rounds
    assert torch.equal(said(resumed.model), said(whole.model))


def test_the_least_important_hurt_least():
    voice = seeded_voice()
    kind = pruning.PrunableDecoder(
        given=voice, start=voice, settings=checked(PruneVoice, SETTINGS), taught="", held_out=HELD_OUT, hear=None,
        whole={}, held_latents=latents_of(voice, HELD_OUT), sounds=taught_waves(voice, SENTENCES, None)[0],
    )  # fmt: skip
    module, groups = voice.modules["decoder"], decoder_groups(pruning.hifigan(voice))
    scores = taylor_scores(module, groups, kind._projections(module, 0))
    left = []
    for descending in (True, False):
        keeps = {
            group: score.argsort(descending=descending)[: group.count * 3 // 4].sort().values
            for group, score in scores.items()
        }
        smaller = pruning.with_decoder(voice, cut(module.state_dict(), keeps))
        left.append(kind.judge_cut(smaller).mel_distance)
    assert left[0] < 0.7 * left[1]


def test_a_protected_decoder_is_refused_and_what_is_protected_stays(monkeypatch):
    for protect in (("flow.*", "dec.*"), ("dec.resblocks.4.*",)):
        with pytest.raises(RecipeError) as caught:
            pruned(protect=protect)
        assert caught.value.code == "prune/protected"
    voice = seeded_voice()
    train_carelessly(monkeypatch, voice, "flow")
    with pytest.raises(GateFailed, match=r"flow\.") as failed:
        pruned(voice)
    assert failed.value.code == "prune/protected-changed"


def test_a_light_decoder_is_refused_and_a_pruned_one_is_nobodys_teacher():
    with pytest.raises(RecipeError) as caught:
        pruned(light_voice("istft"))
    assert caught.value.code == "prune/other-decoder"
    with pytest.raises(RecipeError, match="channels were taken from"):
        light_config(pruning.hifigan(without(seeded_voice())), DecoderStudent())
