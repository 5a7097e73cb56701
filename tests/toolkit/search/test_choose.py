"""Which version is best, which misses least, and why nothing fits."""

from tests.toolkit.search.made_versions import over, refused, version
from toolkit.search.choose import best, blockers, front, nearest


def test_the_best_feasible_version_has_the_highest_score():
    versions = [
        version(1, score=10),
        version(2, score=20),
        version(3, score=90, violations=(over("total_bytes", 120, 90),)),
        version(4, score=95, unknown=("Speaker similarity: not measured",)),
        refused(5, "decoder", {"precision.decoder": "x"}),
    ]
    assert best(versions).number == 2


def test_equal_scores_are_decided_by_size_then_time():
    versions = [version(1, size=100), version(2, size=90, ms=20), version(3, size=90, ms=10)]
    assert best(versions).number == 3


def test_a_small_difference_of_score_does_not_outweigh_twice_the_cost():
    dear, cheap = version(1, score=60.0, size=200, ms=20), version(2, score=59.5, size=100, ms=10)
    assert best([dear, cheap]).number == 2
    worse = version(3, score=58.5, size=50, ms=5)
    assert best([dear, cheap, worse]).number == 2


def test_nothing_feasible_has_no_best_and_a_nearest():
    far = version(1, violations=(over("total_bytes", 300, 100),))
    near = version(2, violations=(over("total_bytes", 110, 100), over("estimated_latency", 11, 10)))
    assert best([far, near]) is None
    assert nearest([far, near]).number == 2
    assert nearest([refused(1, "", {})]) is None


def test_front_holds_what_nothing_beats():
    versions = [
        version(1, score=10, size=100, ms=10),
        version(2, score=20, size=200, ms=10),
        version(3, score=15, size=210, ms=11),  # beaten by 2
        version(4, score=10, size=100, ms=10),  # the same as 1
        version(5, score=5, size=50, ms=20),
    ]
    assert [v.number for v in front(versions)] == [1, 2, 5]


def test_a_limit_no_version_keeps_is_named_with_what_fills_it():
    versions = [
        version(1, size=200, violations=(over("total_bytes", 200, 100),)),
        version(2, size=150, violations=(over("total_bytes", 150, 100),)),
    ]
    (line,) = blockers(versions, ("decoder",))
    assert "no version keeps 100" in line and "version 2 with 150" in line
    assert "decoder takes 75% of it and is protected" in line


def test_limits_that_only_clash_are_said_to_clash():
    small = version(1, violations=(over("estimated_latency", 12, 10),))
    fast = version(2, violations=(over("total_bytes", 150, 100),))
    (line,) = blockers([small, fast])
    assert line == "Latency estimated: 1 of 2 versions keep 10 units, but break another limit"


def test_latency_blocker_names_the_unit():
    (line,) = blockers([version(1, violations=(over("estimated_latency", 20, 10),))])
    assert "decoder takes 80% of it, on the CPU" in line


def test_when_no_version_could_be_made_the_reasons_are_the_blockers():
    (line,) = blockers([refused(1, "decoder", {}), refused(2, "decoder", {})])
    assert line == "no version could be made: [precision/not-realised]: no"


def test_a_refusal_rules_out_that_parts_settings_and_no_others():
    chosen = {"precision.decoder": "a", "finetune.decoder": "b", "precision.flow": "c"}
    answer = refused(1, "decoder", chosen)
    assert answer.rules_out({**chosen, "precision.flow": "other"})
    assert not answer.rules_out({**chosen, "precision.decoder": "other"})
    assert not refused(1, "", chosen).rules_out(chosen)
    assert not version(1, chosen=chosen, refused_part="decoder").rules_out(chosen)
