"""What is marked between two results, and what is not."""

import numpy as np
import pytest

from tests.toolkit.bench.phone.fake_phone import SERIAL
from tests.toolkit.history.made_results import latency, placement, quality, result, size
from toolkit.bench.compare import SMALLEST_APART, compare
from toolkit.results import Device, PhoneBench, PhoneLatency, PhoneState, PhoneTiming


def only(a, b):
    (found,) = compare(a, b).differences
    return found


def test_samples_of_one_race_pair_and_see_what_separate_runs_cannot():
    """Both files are slowed by another process at the same rounds; their ratio is steady all the same."""
    slowed = np.linspace(1.0, 2.0, 40)
    a = latency(10.0, seed=1, race="one", drift=slowed, noise=0.002)
    b = latency(9.7, seed=2, race="one", drift=slowed, noise=0.002)
    paired = only(result(a), result(b))
    assert paired.verdict == "better" and "paired, 40 rounds" in paired.how
    assert paired.low <= paired.change <= paired.high < 0.99
    # Twin: the same samples of two races tell nothing.
    apart = only(result(a), result(b.model_copy(update={"race": "two"})))
    assert apart.verdict == "same" and "not paired" in apart.how


@pytest.mark.parametrize("centre,verdict", [(10.0, "same"), (10.3, "same"), (12.0, "worse"), (8.0, "better")])
def test_two_runs_are_compared_by_their_intervals(centre, verdict):
    found = only(result(latency(10.0, seed=1)), result(latency(centre, seed=2)))
    assert found.verdict == verdict and found.significant == (verdict != "same")
    assert found.change == pytest.approx(centre / 10.0, rel=0.02)
    if verdict == "same" and centre != 10.0:
        assert found.low > 1.0  # well known, and still too small for two runs
        assert abs(found.change - 1) < SMALLEST_APART


def test_noise_hides_a_difference_of_two_runs():
    found = only(result(latency(10.0, seed=1, noise=3.0)), result(latency(11.5, seed=2, noise=3.0)))
    assert found.verdict == "same"


@pytest.mark.parametrize(
    "other,why",
    [
        (latency(20.0, where="host CPU: another"), "measured on"),
        (latency(20.0, valid=False), "INVALID: made up"),
        (latency(20.0, estimated=True), "an estimate"),
    ],
)
def test_what_cannot_be_compared_is_never_marked(other, why):
    found = only(result(latency(10.0)), result(other))
    assert found.verdict == "not comparable" and not found.significant and why in found.how


def test_size_and_placement_are_exact():
    a = result(size=size(10_000), delegation=(placement(5, 2),))
    b = result(size=size(8_000), delegation=(placement(8, 3),))
    found = {each.name: each.verdict for each in compare(a, b).differences}
    assert found == {
        "all files": "better",
        "decoder, result": "better",
        "decoder on nnapi: share of operators": "better",
        "decoder on nnapi: partitions": "worse",
    }
    assert not any(each.significant for each in compare(a, a).differences)
    assert only(result(size=size(10_000)).model_copy(update={"size": size(10_000).model_copy(update={"parts": ()})}),
                result(size=size(10_005).model_copy(update={"parts": ()}))).verdict == "same"  # fmt: skip


def test_no_partition_is_not_better_than_one():
    found = {e.name: e.verdict for e in compare(
        result(delegation=(placement(5, 1),)), result(delegation=(placement(0, 0),))).differences}  # fmt: skip
    assert found == {
        "decoder on nnapi: share of operators": "worse",
        "decoder on nnapi: partitions": "same",
    }


def test_quality_pairs_by_sentence():
    scores = [2.0, 3.0, 4.0, 4.5, 3.5, 2.5]
    better = only(result(quality=quality(scores)), result(quality=quality([s + 0.1 for s in scores])))
    assert better.verdict == "better" and better.change == pytest.approx(0.1)
    mixed = [s + (0.3 if i % 2 else -0.3) for i, s in enumerate(scores)]
    assert only(result(quality=quality(scores)), result(quality=quality(mixed))).verdict == "same"
    tiny = only(result(quality=quality(scores)), result(quality=quality([s + 0.001 for s in scores])))
    assert tiny.verdict == "same"
    few = only(result(quality=quality(scores[:3])), result(quality=quality([s + 1 for s in scores[:3]])))
    assert few.verdict == "not comparable" and "3 sentences" in few.how


def test_what_only_one_result_has_is_said():
    notes = compare(result(latency(10.0), size=size(5)), result(model="other")).notes
    assert any("two models" in note for note in notes)
    assert any("latency in the first result only" in note for note in notes)
    assert any("size in the first result only" in note for note in notes)


def phone(avg, half, where="phone X", valid=True):
    timing = PhoneTiming(
        runs=50,
        warmup_runs=1,
        init_ms=1,
        first_ms=avg,
        warmup_avg_ms=avg,
        avg_ms=avg,
        std_ms=0.1,
        min_ms=avg,
        max_ms=avg,
    )
    entry = PhoneLatency(
        part="decoder",
        file_sha256="0" * 64,
        where=where,
        delegate="gpu",
        threads=4,
        timings=(timing,),
        avg_ms=avg,
        ci_low_ms=avg - half,
        ci_high_ms=avg + half,
        interval="made up",
        valid=valid,
        reasons=() if valid else ("hot",),
    )
    state = PhoneState()
    return result(
        phone=PhoneBench(
            device=Device(name="X", serial=SERIAL), delegate="gpu", tool_sha256="0", before=state, after=state,
            latencies=(entry,),
        )
    )  # fmt: skip


def test_phones_are_compared_by_intervals_and_only_with_themselves():
    assert only(phone(100, 2), phone(80, 2)).verdict == "better"
    assert only(phone(100, 15), phone(80, 15)).verdict == "same"
    assert only(phone(100, 2), phone(80, 2, where="phone Y")).verdict == "not comparable"
    assert "hot" in only(phone(100, 2), phone(80, 2, valid=False)).how
    wide = only(phone(100, 200), phone(80, 2))
    assert wide.verdict == "same" and wide.high is None
