"""Gates between the stages of a voice, and on the whole of it."""

import pytest

from toolkit.pipeline.stack_voice_gates import ITSELF, VoiceScores, loss_gates, whole_voice_gates
from toolkit.recipe.stacking import VoiceLoss, VoiceStackGates
from toolkit.results.stack import StackStage

LIMITS = VoiceLoss(mos_drop_max=0.2, speaker_cosine_loss_max=0.05)


def _scores(change, cosine):
    return VoiceScores.of({"distillmos": (change, change - 0.3), "resemblyzer_cosine": (cosine, cosine - 0.1)})


def _status(found, before=ITSELF, trained=True):
    return tuple(gate.status for gate in loss_gates("distil", "distilled", found, before, LIMITS, trained=trained))


@pytest.mark.parametrize(
    ("change", "cosine", "expected"),
    [
        (-0.19, 0.96, ("pass", "pass")),
        (-0.21, 0.96, ("fail", "pass")),
        (0.3, 0.94, ("pass", "fail")),
    ],
)
def test_the_first_stage_is_held_to_the_voice_given(change, cosine, expected):
    assert _status(_scores(change, cosine)) == expected


def test_a_later_stage_answers_for_its_own_loss_alone():
    before = _scores(-0.3, 0.90)
    assert _status(_scores(-0.45, 0.86), before) == ("pass", "pass")
    assert _status(_scores(-0.55, 0.84), before) == ("fail", "fail")


def test_a_drop_is_the_change_turned_round():
    found = _scores(-0.1, 0.95)
    assert (found.mos_drop, found.mos_drop_worst) == pytest.approx((0.1, 0.4))
    assert (found.speaker_cosine, found.speaker_cosine_worst) == pytest.approx((0.95, 0.85))


def test_what_is_not_measured_is_skipped_with_its_reason():
    gates = loss_gates("distil", "distilled", VoiceScores.of({}), ITSELF, LIMITS, trained=True)
    assert {gate.status for gate in gates} == {"skipped"} and "not installed" in gates[0].explanation
    assert _status(_scores(-4.0, 0.1), trained=False) == ("skipped", "skipped")


def _stage(name, size):
    return StackStage(
        name=name, title=name, key="", reused=False, parameters=1, shape="", bundle_bytes=size, judged_on=""
    )


@pytest.mark.parametrize(("size", "expected"), [(10, "pass"), (11, "fail")])
def test_bytes_are_of_the_first_and_the_last_bundle(size, expected):
    limits = VoiceStackGates(bytes_ratio_min=10, sentence_latency_ratio_max=0.5)
    ratio, latency = whole_voice_gates(limits, [_stage("given", 100), _stage("distil", 70), _stage("q", size)], None)
    assert ratio.status == expected and latency.status == "skipped"
