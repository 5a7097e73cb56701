"""Every check of the NNAPI table at every level where it applies: a graph that breaks it, and its twin."""

from dataclasses import replace

import pytest

from tests.toolkit.delegates import spoiling
from tests.toolkit.delegates.op_examples import EXAMPLES
from toolkit.delegates import nnapi
from toolkit.delegates.nnapi_checks import INTERPRETERS, Target
from toolkit.delegates.op_view import view
from toolkit.delegates.tables import commit, nnapi_table

TABLE = nnapi_table()
LEVELS = sorted(int(level) for level in TABLE["levels"])
EVERY_CHECK = [(kind, number) for kind, rules in TABLE["ops"].items() for number in range(len(rules["checks"]))]
LAST_WORDS = ("accept_if", "reject")
"""Kinds of checks whose three cases are spelled out in `test_accept_if_is_the_last_word`."""
CHECKS = [
    (kind, number) for kind, number in EVERY_CHECK if TABLE["ops"][kind]["checks"][number]["kind"] not in LAST_WORDS
]


def seen(example):
    graph = example.graph()
    return view(graph, next(op for op in graph.ops if op.kind == example.kind))


def judged(example, level):
    return nnapi.judge_op(seen(example), nnapi.target_for(level))


def applies(when, example, level):
    """The condition of a check, read by the test's own eyes."""
    wanted = dict(when or {})
    first = example.inputs[0]
    count = len(example.inputs)
    answers = {
        "sdk_ge": lambda v: level >= v,
        "sdk_lt": lambda v: level < v,
        "sdk_le": lambda v: level <= v,
        "sdk_eq": lambda v: level == v,
        "accelerator": lambda v: (level >= 29) is v,
        "input0_type_in": lambda v: first.dtype in v,
        "input0_const": lambda v: (first.data is not None) is v,
        "n_inputs_eq": lambda v: count == v,
        "n_inputs_ne": lambda v: count != v,
        "n_inputs_ge": lambda v: count >= v,
        "option_eq": lambda v: example.options.get(v[0]) == v[1],
    }
    return all(answers[name](value) for name, value in wanted.items())


def candidates(check, kind):
    """Examples of an operator, also in the types the check is about."""
    types = (check.get("when") or {}).get("input0_type_in", [])
    if check["kind"] == "type_in" and check["tensor"] == "input0":
        types = [each for each in check["types"] if each in spoiling.QUANTISED]
    for example in EXAMPLES[kind]:
        yield example
        for each in types:
            yield spoiling.typed(example, each)
        if check["kind"] in ("restricted_scales", "per_tensor_weights", "scale_positive", "zero_point_zero"):
            yield spoiling.quantised(example, "UINT8")


def accepted_at_once(check, kind, example, level):
    """Whether an earlier check takes the operator, so that this one is never reached."""
    checks = TABLE["ops"][kind]["checks"]
    earlier = (each for each in checks[: checks.index(check)] if each["kind"] == "accept_if")
    return any(applies(each.get("when"), example, level) for each in earlier)


def pairs(check, kind):
    """Level, satisfying example and spoiled example for every level at which the check applies."""
    for level in LEVELS:
        for example in candidates(check, kind):
            if not applies(check.get("when"), example, level) or accepted_at_once(check, kind, example, level):
                continue
            if check["kind"] == "min_sdk":
                if level < check["value"]:
                    yield level, None, example
                elif judged(example, level).accepted:
                    yield level, example, None
                continue
            if not judged(example, level).accepted:
                continue
            if check["kind"] == "min_sdk_if_option" and level >= check["value"]:
                good = spoiling.set_option(check, example)
                if judged(good, level).accepted:
                    yield level, good, None
                continue
            yield level, example, spoiling.NNAPI[check["kind"]](check, example)


def lines(verdict):
    return {refusal.source.split(":")[1].split("@")[0] for refusal in verdict.refusals}


@pytest.mark.parametrize(("kind", "number"), CHECKS, ids=lambda v: str(v))
def test_check_refuses_what_breaks_it_and_takes_its_twin(kind, number):
    check = TABLE["ops"][kind]["checks"][number]
    taken = refused = 0
    for level, good, bad in pairs(check, kind):
        if good is not None:
            verdict = judged(good, level)
            assert verdict.accepted, (level, verdict.refusals)
            taken += 1
        if bad is not None:
            verdict = judged(bad, level)
            assert str(check["line"]) in lines(verdict), (level, verdict.refusals)
            source = next(r.source for r in verdict.refusals if r.kind == check["kind"])
            assert source.startswith(TABLE["source"]["file"]) and source.endswith(commit(TABLE))
            refused += 1
    assert taken and refused


@pytest.mark.parametrize(("kind", "number"), CHECKS, ids=lambda v: str(v))
def test_check_is_what_refuses(kind, number, monkeypatch):
    """Twin of the above: with the check's interpreter silenced, its line is not among the refusals."""
    check = TABLE["ops"][kind]["checks"][number]
    monkeypatch.setitem(INTERPRETERS, check["kind"], lambda c, v, t: True)
    level, bad = next((level, bad) for level, _, bad in pairs(check, kind) if bad is not None)
    kinds = {each["kind"] for each in TABLE["ops"][kind]["checks"] if each["line"] == check["line"]}
    if kinds == {check["kind"]}:
        assert str(check["line"]) not in lines(judged(bad, level))


@pytest.mark.parametrize("level", LEVELS)
def test_accept_if_is_the_last_word(level):
    """The two checks that accept at once, and the refusal that stands behind one of them."""
    spelled_out = [
        (kind, TABLE["ops"][kind]["checks"][n]["line"]) for kind, n in EVERY_CHECK if (kind, n) not in CHECKS
    ]
    assert spelled_out == [("DENSIFY", 2830), ("DENSIFY", 2835), ("DEQUANTIZE", 2801)]
    half = EXAMPLES["DEQUANTIZE"][1]
    assert judged(half, level).accepted is (level >= 30)
    constant = half.with_tensor("input0", data=[1.0])
    assert "2815" in lines(judged(constant, level)) or "2813" in lines(judged(constant, level))
    sparse = EXAMPLES["DENSIFY"][0]
    assert judged(sparse, level).accepted is (level >= 30)
    assert lines(judged(sparse.with_tensor("input0", data=None), level)) == {"2835"}


TYPES = {
    "float32": "FLOAT32",
    "int8": "INT8",
    "uint8": "UINT8",
    "int32": "INT32",
    "float16_activation": "FLOAT16",
}
SAYS_MORE_THAN_THE_CHECKS = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"), "no type check from 29 on"),
    **dict.fromkeys(("EMBEDDING_LOOKUP", "HASHTABLE_LOOKUP", "RNN", "SVDF"), "the type is that of another tensor"),
    "DENSIFY": "folded away, so no type is given",
    "DEQUANTIZE": "half floats are accepted before any check, from 30 on",
    "FILL": "the type is that of the value",
    "LSTM": "the type is that of the weights",
}
"""Operators whose ``min_level`` is not about the first input or also says what NNAPI's operation takes."""


def checks_a_type(kind):
    return any(c["kind"] in ("type_in", "type_min_sdk") for c in TABLE["ops"][kind]["checks"])


def in_type(kind, dtype):
    example = EXAMPLES[kind][1 if kind == "PADV2" else 0]
    if kind in ("SPLIT", "SELECT"):
        return example.with_tensor("input1", dtype=dtype)
    return example if dtype == example.inputs[0].dtype else spoiling.typed(example, dtype)


@pytest.mark.parametrize("kind", [kind for kind in TABLE["ops"] if kind not in SAYS_MORE_THAN_THE_CHECKS])
def test_lowest_level_of_every_type_is_the_one_the_table_states_beside_the_checks(kind):
    """``min_level`` was written down apart from the checks, so the two must agree."""
    for key, expected in TABLE["ops"][kind]["min_level"].items():
        if key not in TYPES or (key == "float16_activation" and not checks_a_type(kind)):
            continue  # without a type check half floats pass here and fail in the operation itself
        if key == "float16_activation" and kind == "L2_NORMALIZATION":
            continue  # its type check ends at 29
        example = in_type(kind, TYPES[key])
        assert next((level for level in LEVELS if judged(example, level).accepted), None) == expected, key


@pytest.mark.parametrize("kind", TABLE["unsupported_builtin_ops"])
def test_operators_without_an_nnapi_operation_are_refused_at_every_level(kind):
    example = replace(EXAMPLES["ABS"][0], kind=kind)
    for level in LEVELS:
        assert lines(judged(example, level)) == {"3650"}


def test_table_and_schema_name_the_same_operators():
    from ai_edge_litert import schema_py_generated as schema

    known = {name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    assert {*TABLE["ops"], *TABLE["unsupported_builtin_ops"]} == known
    assert Target(level=27, accelerator=False) == nnapi.target_for(27)
