"""What to do next: out of gates, refusals and ratios, the largest gain first."""

from __future__ import annotations

from toolkit.pipeline.recommendations import recommendations
from toolkit.results import Gate, LatencyComparison, OpPlacement, Placement, judge


def _gate(value: float) -> Gate:
    return judge("size", "Whole bundle", value, "MB", 24.0, "<=", "Everything shipped.")


def _op(index: int, op: str, *, accepted: bool, delegated: bool, hint: str = "") -> OpPlacement:
    return OpPlacement(
        index=index, op=op, name=f"{op}_{index}", accepted=accepted, partition=0 if delegated else None,
        reason="" if accepted else f"no {op}", source="a.cc:1", hint=hint,
    )  # fmt: skip


def _placement(part: str, ratio: float | None, *, delegate: str = "nnapi", refused: int = 3) -> Placement:
    ops = [_op(i, "BATCH_MATMUL", accepted=False, delegated=False, hint="ask for level 6") for i in range(refused)]
    ops += [_op(9, "GATHER", accepted=False, delegated=False, hint="no gather")] if refused else []
    ops += [_op(10, "ADD", accepted=True, delegated=False), _op(11, "MUL", accepted=True, delegated=True)]
    return Placement.model_validate(
        {
            "delegate": delegate, "part": part, "method": "static", "ops": tuple(ops), "partitions": 1,
            "delegated_ops": 1, "total_ops": len(ops), "delegated_macs_ratio": ratio, "transitions": 1,
            "transition_bytes": 0, "notes": (), "wrong_results": (),
        }
    )  # fmt: skip


def _ratio(part: str, ratio: float, low: float, candidate: str = "result") -> LatencyComparison:
    return LatencyComparison(
        part=part, baseline="float32", candidate=candidate, threads=2, where="host",
        ratio=ratio, ci_low=low, ci_high=ratio + 0.1, pairs=20,
    )  # fmt: skip


def test_a_part_left_to_the_cpu_is_named_with_its_most_frequent_refusal_and_its_fix():
    (found,) = recommendations((), (_placement("encoder@128", 0.471),), (), "nnapi")
    assert found.title == "encoder@128: ask for level 6" and found.section == "delegation"
    assert found.because == "3 BATCH_MATMUL refused (no BATCH_MATMUL), and 1 of other kinds"
    assert found.expected_gain == "up to 5 operators, 53% of its multiply-adds on the delegate"


def test_gates_that_fail_come_first_and_then_the_largest_share_of_work():
    placements = (_placement("flow", 0.9), _placement("encoder", 0.2))
    found = recommendations((_gate(30.0), _gate(20.0)), placements, (_ratio("decoder", 1.4, 1.3),), "nnapi")
    assert [r.title.partition(":")[0] for r in found] == [
        "Bring “Whole bundle” within its limit", "encoder", "decoder", "flow",
    ]  # fmt: skip
    assert found[0].expected_gain == "from 30 to 24 MB"


def test_what_is_whole_another_delegates_or_within_noise_is_not_recommended():
    placements = (_placement("whole", 1.0, refused=0), _placement("other", 0.1, delegate="xnnpack"))
    ratios = (_ratio("a", 1.3, 0.99), _ratio("b", 1.01, 1.005), _ratio("c", 0.5, 0.4), _ratio("d", 2.0, 1.9, "other"))
    assert recommendations((_gate(20.0),), placements, ratios, "nnapi") == ()
