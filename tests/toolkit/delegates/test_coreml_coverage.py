"""Every check of the Core ML table: a graph that breaks it is refused at its line, its twin is taken."""

from dataclasses import replace

import numpy as np
import pytest

from tests.toolkit.delegates import spoiling
from tests.toolkit.delegates.op_examples import EXAMPLES, Slot, const
from tests.toolkit.delegates.small_graphs import graph, op, tensor, unary_chain
from toolkit.delegates import coreml
from toolkit.delegates.coreml_checks import INTERPRETERS
from toolkit.delegates.op_view import view
from toolkit.delegates.place import place_graph
from toolkit.delegates.tables import commit, coreml_table

TABLE = coreml_table()
CHECKS = [(kind, number) for kind, rules in TABLE["ops"].items() for number in range(len(rules["checks"]))]

TWINS = {
    "MEAN": (EXAMPLES["MEAN"][0].with_options(keep_dims=True).with_tensor("output0", shape=(1, 1, 1, 8)),),
    "FULLY_CONNECTED": (EXAMPLES["FULLY_CONNECTED"][0].with_tensor("input0", shape=(1, 8)),),
    "MUL": (EXAMPLES["MUL"][0], EXAMPLES["MUL"][0].with_tensor("input1", dtype="FLOAT16", shape=(), data=np.ones(()))),
}

SPOIL = {
    "axes_in": lambda c, e: e.with_tensor("input1", data=np.array([1, -1])),
    "axis_is_last": lambda c, e: e.with_options(axis=1),
    "channel_broadcast": lambda c, e: e.with_tensor("input1", shape=(1, 4, 4, 2)),
    "const": spoiling.computed,
    "const_type": spoiling.dtype,
    "float_operands": lambda c, e: e.with_tensor("input1", dtype="FLOAT16", data=None),
    "kernel_le": lambda c, e: e.with_tensor("input1", shape=(8, 16385, 1, 8)),
    "max_op_version": spoiling.version,
    "n_inputs": lambda c, e: replace(e, inputs=e.inputs[:1]),
    "new_rank_in": lambda c, e: e.with_options(new_shape=[16, 8]),
    "no_padding": lambda c, e: e.with_tensor("input1", data=np.eye(4, 2, -c["axis"], dtype=np.int32)),
    "option_eq": lambda c, e: e.with_options(keep_dims=False, mode="SYMMETRIC", beta=2.0, weights_format="SHUFFLED")
    .with_options(fused_activation_function="RELU" if c["option"] == "fused_activation_function" else "NONE"),
    "option_ne": spoiling.other_option,
    "plane_broadcast": lambda c, e: e.with_tensor("input1", shape=(1, 2, 4, 8)),
    "rank": spoiling.rank,
    "same_batch_or_scalar_constant": lambda c, e: e.with_tensor("input1", shape=(2, 4, 4, 8), data=None),
    "shape_is": lambda c, e: e.with_tensor("input1", shape=(3, 2)),
    "shape_vector": lambda c, e: e.with_tensor("input1", shape=(2,)),
    "single_batch": lambda c, e: e.with_tensor("input0", shape=(2, 8)),
    "float_data": lambda c, e: e.with_tensor(c["tensor"], dtype="INT8"),
}  # fmt: skip


def judged(example, version=2):
    made = example.graph()
    return coreml.judge_op(view(made, next(o for o in made.ops if o.kind == example.kind)), version)


def twins(kind):
    return TWINS.get(kind, EXAMPLES[kind])


@pytest.mark.parametrize(("kind", "number"), CHECKS, ids=str)
def test_check_refuses_what_breaks_it_and_takes_its_twin(kind, number):
    check = TABLE["ops"][kind]["checks"][number]
    accepted = [twin for twin in twins(kind) if judged(twin).accepted]
    assert accepted
    if check["kind"] == "coreml_version_lt":
        verdicts = [judged(twin, version=3) for twin in accepted]
    else:
        count = {"n_inputs_eq": lambda n, e: len(e.inputs) == n, "n_inputs_ge": lambda n, e: len(e.inputs) >= n}
        fitting = [e for e in accepted if all(count[k](n, e) for k, n in check.get("when", {}).items())]
        verdicts = [judged(SPOIL[check["kind"]](check, twin)) for twin in fitting]
    place = f"{TABLE['source']['directory']}/{check['file']}:{check['line']}@{commit(TABLE)}"
    assert any(r.source == place and r.kind == check["kind"] for v in verdicts for r in v.refusals), verdicts


def test_every_kind_of_check_is_used_and_known():
    kinds = {check["kind"] for rules in TABLE["ops"].values() for check in rules["checks"]}
    assert kinds == set(INTERPRETERS)


def test_the_table_has_the_operators_of_the_delegate():
    """The list of shared notes on the delegate (its README, and MEAN which only the code has)."""
    documented = (
        "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED HARD_SWISH LOGISTIC MAX_POOL_2D "
        "MIRROR_PAD MUL PAD PADV2 RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR SOFTMAX TANH TRANSPOSE_CONV MEAN"
    )
    assert set(TABLE["ops"]) == set(documented.split())


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if kind not in TABLE["ops"]])
def test_other_operators_are_refused(kind):
    (refusal,) = judged(EXAMPLES[kind][0]).refusals
    assert refusal.kind == "unmapped" and "coreml_delegate.mm:150@" in refusal.source


def test_float16_weights_are_taken_and_a_missing_bias_is_not():
    conv = EXAMPLES["CONV_2D"][0]
    assert judged(conv.with_tensor("input1", dtype="FLOAT16").with_tensor("input2", dtype="FLOAT16")).accepted
    assert "bias" in judged(replace(conv, inputs=conv.inputs[:2])).refusals[0].message


def test_reshape_is_only_taken_by_core_ml_2():
    reshape = replace(EXAMPLES["RESHAPE"][0], inputs=(Slot(), const([1, 16, 8])))
    assert judged(reshape, version=2).accepted and not judged(reshape, version=3).accepted


def test_sets_of_one_operator_stay_on_the_cpu_unless_they_are_the_graph():
    whole = place_graph(unary_chain(["TANH"]), "p", "coreml")
    assert whole.fully_delegated and "Apple" in whole.notes[0]
    mixed = place_graph(unary_chain(["TANH", "EXP", "TANH", "RELU", "EXP"]), "p", "coreml")
    assert [o.partition for o in mixed.ops] == [None, None, 0, 0, None] and mixed.partitions == 1
    assert any("fewer than two" in note for note in mixed.notes)


def test_core_ml_keeps_every_partition_and_reads_float16_constants_itself():
    tensors = [tensor(0), tensor(1, (8, 1, 1, 4), "FLOAT16", data=np.ones((8, 1, 1, 4))), tensor(2, (8, 1, 1, 4))]
    tensors += [tensor(3, (8,), data=np.ones(8)), tensor(4), tensor(5)]
    ops = [op(0, "DEQUANTIZE", (1,), (2,)), op(1, "CONV_2D", (0, 2, 3), (4,)), op(2, "TANH", (4,), (5,))]
    placement = place_graph(graph(tensors, ops), "p", "coreml")
    assert placement.fully_delegated and [o.folded for o in placement.ops] == [True, False, False]
