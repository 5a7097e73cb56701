"""Gates on all shipped parts together, beside those on the decoder alone."""

import pytest

from toolkit.pipeline.gates import Evidence, judge_gates
from toolkit.recipe.schema import Gates
from toolkit.results import Metric, Quality, Size

LIMITS = Gates(whole_mos_drop_mean_max=0.4, whole_speaker_cosine_min=0.92)


def _quality(mos, cosine, reference="the teacher someone in float (torch)"):
    rows = (("distillmos", mos, "points"), ("resemblyzer_cosine", cosine, "cosine"))
    metrics = tuple(
        Metric(metric=name, title=name, unit=unit, higher_is_better=True, mean=mean, worst=mean - 0.1,
               worst_utterance="a", explanation="")
        for name, mean, unit in rows
    )  # fmt: skip
    return Quality(reference=reference, candidate="x", held_out=True, utterances=(), metrics=metrics)


def _judged(decoder, whole):
    size = Size(parts=(), baseline_bytes=1, total_bytes=1, limit_bytes=None, includes="")
    evidence = Evidence(
        quality=decoder, whole=whole, missing_quality="nobody listened", comparisons=(), placements=(), size=size,
        float_macs_ratio=None, op_counts={}, output_snr_db=None, main_part="decoder", threads=1,
    )  # fmt: skip
    return {gate.id: gate for gate in judge_gates(LIMITS, (), evidence)}


@pytest.mark.parametrize(
    ("mos", "cosine", "expected"),
    [(-0.39, 0.93, ("pass", "pass")), (-0.41, 0.93, ("fail", "pass")), (0.2, 0.91, ("pass", "fail"))],
)
def test_the_whole_voice_is_judged_and_not_the_decoder(mos, cosine, expected):
    good = _quality(0.0, 1.0)
    found = _judged(good, _quality(mos, cosine))
    assert tuple(found[name].status for name in ("whole_mos_drop_mean", "whole_speaker_cosine")) == expected
    assert found["whole_mos_drop_mean"].value == pytest.approx(max(0.0, -mos))
    assert "the teacher someone" in found["whole_speaker_cosine"].explanation
    bad_decoder = _judged(_quality(-2.0, 0.1), good)
    assert {gate.status for gate in bad_decoder.values()} == {"pass"}


def test_a_gate_on_what_nobody_heard_is_skipped_with_the_reason():
    found = _judged(None, None)
    assert {gate.status for gate in found.values()} == {"skipped"}
    assert all("nobody listened" in gate.explanation for gate in found.values())
