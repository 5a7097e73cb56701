"""Every check, limit, message and type rule of both GPU delegates: a graph that breaks it, and its twin."""

from dataclasses import replace

import pytest

from tests.toolkit.delegates import gpu_spoiling, spoiling
from tests.toolkit.delegates.op_examples import EXAMPLES
from tests.toolkit.delegates.small_graphs import graph, op, tensor
from toolkit.delegates import gpu
from toolkit.delegates.gpu_rules import NEVER_RAISED, unreachable
from toolkit.delegates.op_view import view
from toolkit.delegates.place import place_graph
from toolkit.delegates.tables import commit, gpu_table

TABLE = gpu_table()
LAYERS = ("classic_v2", "mldrift")
SUPPORTED = [(layer, kind) for layer in LAYERS for kind, e in TABLE["ops"].items() if e[layer]["supported"]]


def judged(example, layer):
    made = example.graph()
    return gpu.judge_op(view(made, next(o for o in made.ops if o.kind == example.kind)), layer)


def accepted(kind, layer):
    return [example for example in EXAMPLES[kind] if judged(example, layer).accepted]


def refused_at(line, verdict):
    return any(r.source.split(":")[1].split("@")[0] == str(line) for r in verdict.refusals)


def compat_cases():
    for layer, kind in SUPPORTED:
        rules = TABLE["ops"][kind][layer]
        if rules.get("uses_compat_checks" if layer == "classic_v2" else "compat_checks"):
            for number in range(len(TABLE["ops"][kind]["compat"].get("checks", ()))):
                yield layer, kind, "compat", number
        for number in range(len(rules.get("checks", ()))):
            yield layer, kind, layer, number


@pytest.mark.parametrize(("layer", "kind", "where", "number"), list(compat_cases()), ids=str)
def test_check_refuses_what_breaks_it_and_takes_its_twin(layer, kind, where, number):
    check = TABLE["ops"][kind][where]["checks"][number]
    verdicts = [judged(spoiling.GPU[check["kind"]](check, twin), layer) for twin in accepted(kind, layer)]
    found = [r for v in verdicts for r in v.refusals if refused_at(check["line"], v) and r.kind == check["kind"]]
    assert found, verdicts
    assert all(r.source.endswith(commit(TABLE)) and r.message for r in found)


def test_compatibility_checks_that_no_delegate_asks_are_known():
    """What is left of the compatibility layer when both delegates' cases are taken away."""
    asked = {(kind, number) for _, kind, where, number in compat_cases() if where == "compat"}
    every = {(kind, n) for kind, e in TABLE["ops"].items() for n in range(len(e["compat"].get("checks", ())))}
    assert every - asked == {("CUSTOM", 0)}  # both delegates keep their own list of names instead


@pytest.mark.parametrize(("layer", "kind"), [(layer, kind) for layer, kind in SUPPORTED if kind in EXAMPLES], ids=str)
def test_every_operator_has_an_accepted_example(layer, kind):
    assert accepted(kind, layer)


LIMITS = [
    (kind, limit["line"])
    for layer, kind in SUPPORTED
    if layer == "classic_v2"
    for limit in (
        *TABLE["ops"][kind]["classic_v2"].get("extra_support_checks", ()),
        *TABLE["ops"][kind]["classic_v2"].get("parse_time_limits", ()),
    )
]


@pytest.mark.parametrize(("kind", "line"), LIMITS, ids=str)
def test_limit_of_the_classic_delegate(kind, line):
    twins = accepted(kind, "classic_v2")
    assert twins
    verdicts = [judged(gpu_spoiling.CLASSIC_LIMITS[line](twin), "classic_v2") for twin in twins]
    if (kind, line) == ("ADD", 1141):
        assert all(v.accepted for v in verdicts)  # the limit says that ADD is exempt
    else:
        assert any(refused_at(line, v) for v in verdicts), verdicts


MESSAGES = [
    (kind, message)
    for layer, kind in SUPPORTED
    if layer == "mldrift"
    for message in dict.fromkeys(TABLE["ops"][kind]["mldrift"].get("rejects", ()))
    if message not in NEVER_RAISED
]


@pytest.mark.parametrize(("kind", "message"), MESSAGES, ids=str)
def test_message_of_the_litert_accelerator(kind, message):
    twins = accepted(kind, "mldrift")
    assert twins
    verdicts = []
    if not unreachable(kind, message):
        verdicts = [judged(gpu_spoiling.REJECTS[message](twin), "mldrift") for twin in twins]
        found = [r for v in verdicts for r in v.refusals if r.message == message]
        assert found, verdicts
        first, last = TABLE["ops"][kind]["mldrift"]["is_supported_lines"]
        assert all(f":{first}-{last}@" in r.source for r in found)
    else:
        for example in (*twins, replace(twins[0], identical=len(twins[0].inputs) > 1)):
            assert all(r.message != message for r in judged(example, "mldrift").refusals)


@pytest.mark.parametrize(("layer", "kind"), SUPPORTED, ids=str)
def test_version_beyond_the_newest_known_is_refused(layer, kind):
    limit, twin = TABLE["ops"][kind][layer].get("max_version"), accepted(kind, layer)[0]
    if limit is None:
        assert judged(replace(twin, version=99), layer).accepted
    else:
        assert judged(replace(twin, version=limit), layer).accepted
        found = judged(replace(twin, version=limit + 1), layer).refusals
        assert [r.kind for r in found] == ["max_op_version"]
        assert f":{TABLE['ops'][kind][layer]['class_line']}@" in found[0].source


@pytest.mark.parametrize(("layer", "kind"), SUPPORTED, ids=str)
def test_types_and_ranks_of_computed_tensors(layer, kind):
    line = TABLE["tensor_rule_" + layer]["lines"][0]
    twin = next(iter(accepted(kind, layer)))
    computed = [f"input{i}" for i, s in enumerate(twin.inputs) if s is not None and s.data is None]
    for reference in (*computed, "output0"):
        assert refused_at(line, judged(twin.with_tensor(reference, dtype="COMPLEX64"), layer)), reference
        assert refused_at(line, judged(twin.with_tensor(reference, shape=(1, 1, 1, 1, 1)), layer)), reference


@pytest.mark.parametrize(("layer", "kind"), [c for c in SUPPORTED if "names" in TABLE["ops"][c[1]][c[0]]], ids=str)
def test_custom_operators_and_composites_go_by_their_name(layer, kind):
    twin = accepted(kind, layer)[0]
    for name in TABLE["ops"][kind][layer]["names"]:
        assert judged(replace(twin, custom_code=name).with_options(name=name), layer).accepted
    unknown = judged(replace(twin, custom_code="Nobody").with_options(name="Nobody"), layer)
    assert [r.kind for r in unknown.refusals] == ["custom"] and "Nobody" in unknown.refusals[0].message


REFUSED = [
    *((layer, kind) for layer in LAYERS for kind, e in TABLE["ops"].items() if not e[layer]["supported"]),
    *((layer, kind) for layer in LAYERS for kind in TABLE["unsupported_builtin_ops"]),
]


@pytest.mark.parametrize(("layer", "kind"), REFUSED, ids=str)
def test_operators_without_a_parser_are_refused(layer, kind):
    found = judged(replace(EXAMPLES["ABS"][0], kind=kind), layer).refusals
    assert [r.kind for r in found] == ["no_parser"]
    line = 3080 if layer == "classic_v2" else 6766
    rules = TABLE["ops"].get(kind, {}).get(layer, {})
    assert f":{rules.get('unknown_to_compat_line', line)}@" in found[0].source


def test_table_and_schema_name_the_same_operators():
    from ai_edge_litert import schema_py_generated as schema

    known = {name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    assert {*TABLE["ops"], *TABLE["unsupported_builtin_ops"]} == known


def test_integers_of_shifts_are_taken_by_the_accelerator_only():
    """A rule the source states outside its lists of integer operators (model_builder.cc:7255-7258)."""
    shift = EXAMPLES["STABLEHLO_SHIFT_LEFT"][0]
    assert judged(shift, "mldrift").accepted and not judged(shift, "classic_v2").accepted
    assert not judged(spoiling.typed(EXAMPLES["POW"][0], "INT32"), "mldrift").accepted


def test_operators_with_a_parser_that_the_check_before_it_does_not_know_are_refused():
    """Seen when executed: both have a parser, and the compatibility check has no case for them."""
    for kind in ("BITWISE_XOR", "RELU_0_TO_1"):
        found = judged(EXAMPLES[kind][0], "mldrift").refusals
        assert "gpu_compatibility.cc:1274@" in found[0].source and "Not supported op" in found[0].message


def test_the_classic_delegate_fails_as_a_whole_where_a_limit_is_met_at_its_start():
    """SUB of a tensor from itself is accepted and not parsed (model_builder.cc:1141): nothing runs on the GPU."""
    tensors = [tensor(i) for i in range(5)]
    rest = [op(1, "TANH", (1,), (2,)), op(2, "POW_LIKE", (2,), (3,)), op(3, "ABS", (3,), (4,))]
    good = place_graph(graph(tensors, [op(0, "ABS", (0,), (1,)), *rest]), "p", "gpu_classic")
    assert [o.partition for o in good.ops] == [0, 0, None, None]
    same = op(0, "SUB", (0, 0), (1,), fused_activation_function="NONE")
    bad = place_graph(graph(tensors, [same, *rest]), "p", "gpu_classic")
    assert bad.partitions == 0 and not bad.ops[0].accepted and ":1141@" in bad.ops[0].source
    assert "fails to start" in bad.notes[0] and "fails to start" in bad.ops[1].reason
    # twin: in a partition that is not kept it does no harm
    late = [op(i, k, (i,), (i + 1,)) for i, k in enumerate(("ABS", "TANH", "POW_LIKE"))]
    late.append(op(3, "SUB", (3, 3), (4,), fused_activation_function="NONE"))
    assert place_graph(graph(tensors, late), "p", "gpu_classic").partitions == 1


@pytest.mark.parametrize(
    ("left", "right", "classic", "litert"),
    [
        ((1, 4, 4, 8), (4, 4, 8), True, True),
        ((2, 4, 4, 8), (4, 4, 8), False, True),
        ((1, 4, 4, 8), (1, 1), True, True),
        ((2, 4, 4, 8), (2, 8), True, False),
        ((1, 4, 4, 8), (4, 8), False, True),
        ((4, 4, 8), (8,), True, True),
    ],
)
def test_the_two_delegates_broadcast_additions_differently(left, right, classic, litert):
    """The cases of CheckAddMulBroadcastCompatibility, gpu_compatibility.cc:484-527."""
    pair = EXAMPLES["ADD"][0].with_tensor("input0", shape=left).with_tensor("input1", shape=right)
    for example in (pair, replace(pair, inputs=pair.inputs[::-1])):
        assert judged(example, "classic_v2").accepted is classic
        assert judged(example, "mldrift").accepted is litert
