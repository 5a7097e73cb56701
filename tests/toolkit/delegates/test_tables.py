"""Every operator, check and condition of the tables can be interpreted: nothing passes because nobody looked."""

import pytest

from tests.toolkit.delegates.small_graphs import graph, op, tensor
from toolkit.delegates import gpu, gpu_checks, gpu_rules, nnapi, nnapi_checks
from toolkit.delegates.gpu_start_failures import ENDS_THE_PROCESS
from toolkit.delegates.hints import hint
from toolkit.delegates.levels import level_name, level_title, parse_level
from toolkit.delegates.op_view import view
from toolkit.delegates.tables import commit, coreml_table, gpu_table, hint_table, nnapi_table, xnnpack_table
from toolkit.errors import DelegateError

LEVELS = [int(level) for level in nnapi_table()["levels"]]


def some_view(kind, dtype, inputs=3):
    tensors = [
        tensor(i, (2, 2, 4, 4), dtype, data=None if i == 0 else [[1] * 4], scales=(0.5,), zero_points=(0,))
        for i in range(inputs)
    ]
    tensors.append(tensor(inputs, (2, 2, 4, 4), dtype))
    options = {
        "axis": 1,
        "filter_width": 2,
        "filter_height": 2,
        "block_size": 2,
        "depth_multiplier": 1,
        "new_shape": [1],
        "alpha": 0.1,
        "stride_h": 1,
        "stride_w": 1,
        "fused_activation_function": "NONE",
        "padding": "SAME",
        "squeeze_dims": [],
    }
    return view(
        graph(tensors, [op(0, kind, tuple(range(inputs)), (inputs,), **options)]),
        op(0, kind, tuple(range(inputs)), (inputs,), **options),
    )


def test_every_nnapi_check_kind_and_condition_is_known():
    target = nnapi.target_for(31)
    for name, rules in nnapi_table()["ops"].items():
        for check in rules["checks"]:
            assert check["kind"] in nnapi_checks.INTERPRETERS, (name, check)
            nnapi_checks.holds(check.get("when"), some_view(name, "FLOAT32"), target)


@pytest.mark.parametrize("dtype", ["FLOAT32", "INT8"])
def test_every_nnapi_operator_can_be_judged_at_every_level(dtype):
    for name in nnapi_table()["ops"]:
        for level in LEVELS:
            for inputs in (1, 2, 3, 5):
                verdict = nnapi.judge_op(some_view(name, dtype, inputs), nnapi.target_for(level))
                assert all(r.message and commit(nnapi_table()) in r.source for r in verdict.refusals)


def flat(checks):
    for check in checks:
        yield check
        yield from flat(check.get("of", ()))


def test_every_gpu_check_kind_and_message_is_known():
    for name, entry in gpu_table()["ops"].items():
        for layer in ("compat", "mldrift"):
            for check in flat(entry[layer].get("checks", ())):
                assert check["kind"] in gpu_checks.INTERPRETERS, (name, check)
        for message in entry["mldrift"].get("rejects", ()):
            assert (message in gpu_rules.REFUSALS) != (message in gpu_rules.NEVER_RAISED), (name, message)
        for limit in (
            *entry["classic_v2"].get("extra_support_checks", ()),
            *entry["classic_v2"].get("parse_time_limits", ()),
        ):
            assert limit["line"] in gpu_rules.CLASSIC_LIMITS, (name, limit)


@pytest.mark.parametrize("layer", ["classic_v2", "mldrift"])
@pytest.mark.parametrize("dtype", ["FLOAT32", "INT8"])
def test_every_gpu_operator_can_be_judged(layer, dtype):
    for name in gpu_table()["ops"]:
        for inputs in (1, 2, 3):
            verdict = gpu.judge_op(some_view(name, dtype, inputs), layer)
            assert all(r.message and r.source for r in (*verdict.refusals, *verdict.warnings))


def test_unknown_check_kind_is_an_error(monkeypatch):
    table = {**nnapi_table(), "ops": {"ABS": {"checks": [{"kind": "moon_phase", "line": 1}]}}}
    monkeypatch.setattr(nnapi, "nnapi_table", lambda: table)
    with pytest.raises(DelegateError, match="moon_phase"):
        nnapi.judge_op(some_view("ABS", "FLOAT32"), nnapi.target_for(31))


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("12", 31),
        ("android 12", 31),
        ("Android 8.1", 27),
        ("9", 28),
        ("30", 30),
        (31, 31),
        ("API 29", 29),
        ("fl6", 1000006),
        ("feature level 7", 1000007),
        ("1000008", 1000008),
        ("15", 31),
        ("api-34", 31),
    ],
)
def test_parse_level(text, level):
    assert parse_level(text) == level


@pytest.mark.parametrize("text", ["7", "fl9", "", "banana", "26"])
def test_parse_level_refuses(text):
    with pytest.raises(DelegateError) as caught:
        parse_level(text)
    assert caught.value.hint


def test_every_level_is_named_as_it_may_be_asked_for():
    assert [parse_level(level_name(level)) for level in LEVELS] == list(LEVELS)
    assert level_name(1000006) == "feature level 6" and level_name(31) == "API 31"


def test_level_title_names_android():
    assert all(level_title(level) for level in LEVELS)
    assert "Android 12" in level_title(31)


def every_kind():
    """Kind of every rule a delegate can name in a refusal, with an operator it stands at."""
    for table in (nnapi_table(), coreml_table(), xnnpack_table()):
        for name, rules in table["ops"].items():
            yield from ((name, check["kind"]) for check in rules["checks"])
    for name, entry in gpu_table()["ops"].items():
        for layer in ("compat", "mldrift"):
            yield from ((name, check["kind"]) for check in entry[layer].get("checks", ()))
    for kind in (
        "unmapped",
        "no_parser",
        "custom",
        "max_op_version",
        "rank",
        "type_in",
        "limit",
        "reject",
        "left_packed",
        "not_kept",
        "not_sized",
        "condition_rank",
        "ends_the_process",
        "npu_stride",
        "npu_refuses",
        "float_on_npu",
    ):
        yield "ANY", kind


def test_every_refusal_comes_with_a_fix():
    assert [(name, kind) for name, kind in every_kind() if not hint(name, kind)] == []


def test_every_hint_is_for_a_rule_that_exists():
    known, warnings = {kind for _, kind in every_kind()}, {"int8_below_30"}
    # Said by code that no table of checks holds: gpu_start_failures, qnn, unsized.
    warnings |= {ENDS_THE_PROCESS, "condition_rank", "float_on_npu", "npu_rank", "npu_refuses", "npu_stride"}
    for kind in hint_table()["by_kind"]:
        assert kind in known | warnings or kind.startswith("wrong_"), kind
    for key in hint_table()["by_operator_and_kind"]:
        name, kind = key.split("/")
        assert kind in known and name in {*nnapi_table()["ops"], *nnapi_table()["unsupported_builtin_ops"]}, key
