"""Every check of the XNNPACK table broken and kept, and what LiteRT's own XNNPACK delegate says of the same graphs."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.toolkit.delegates import spoiling
from tests.toolkit.delegates.op_examples import EXAMPLES, Example, Slot, const
from tests.toolkit.delegates.small_graphs import graph, op, tensor
from tests.toolkit.delegates.written_files import write
from toolkit.bench.guard import guarded
from toolkit.delegates import xnnpack
from toolkit.delegates.op_view import view
from toolkit.delegates.place import place_graph
from toolkit.delegates.tables import commit, xnnpack_table
from toolkit.delegates.xnnpack_checks import INTERPRETERS
from toolkit.errors import BenchError

TABLE = xnnpack_table()
CHECKS = [(kind, number) for kind, rules in TABLE["ops"].items() for number in range(len(rules["checks"]))]
VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
NEVER_ACCEPTED = ("EXPAND_DIMS",)


def _mean(kind):
    return EXAMPLES[kind][0].with_options(keep_dims=True).with_tensor("output0", shape=(1, 1, 1, 8))


def _named(kind, *inputs):
    name = "odml.scaled_dot_product_attention"
    return replace(Example(kind=kind, inputs=inputs, outputs=(Slot(),), options={"name": name}), custom_code=name)


TWINS = {
    "TRANSPOSE_CONV": (
        EXAMPLES["TRANSPOSE_CONV"][0],
        replace(
            EXAMPLES["TRANSPOSE_CONV"][0],
            inputs=(*EXAMPLES["TRANSPOSE_CONV"][0].inputs, const(np.ones(8), "FLOAT32")),
            version=3,
        ),
    ),
    **{kind: (_mean(kind),) for kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")},
    "CUSTOM": (_named("CUSTOM", Slot(), Slot(), Slot()),),
    "STABLEHLO_COMPOSITE": (_named("STABLEHLO_COMPOSITE", Slot(), Slot(), Slot()),),
    "FULLY_CONNECTED": (EXAMPLES["FULLY_CONNECTED"][0], replace(EXAMPLES["FULLY_CONNECTED"][0], version=9)),
}


def twins(kind):
    """Accepted examples of an operator, in float and in 8 bits."""
    found = list(TWINS.get(kind, EXAMPLES.get(kind, ())))
    quantised = [in_8_bits(example, kind) for example in found for kind in ("INT8", "UINT8")]
    return [example for example in (*found, *quantised) if judged(example).accepted]


def in_8_bits(example: Example, dtype: str) -> Example:
    """All float tensors of the example in 8 bits; a bias in int32."""

    def made(slot, index):
        if slot is None or slot.dtype != "FLOAT32":
            return slot
        if index == (2 if example.kind != "TRANSPOSE_CONV" else 3) and slot.data is not None:
            return replace(slot, dtype="INT32", scales=(0.25,), zero_points=(0,))
        return replace(slot, dtype=dtype, scales=(0.5,), zero_points=(0,))

    return replace(
        example,
        inputs=tuple(made(slot, index) for index, slot in enumerate(example.inputs)),
        outputs=tuple(made(slot, -1) for slot in example.outputs),
    )


def judged(example):
    made = example.graph()
    return xnnpack.judge_op(view(made, next(o for o in made.ops if o.kind == example.kind)))


def _first(check):
    name = check.get("tensor") or check["tensors"][0]
    return {"inputs": "input0", "outputs": "output0"}.get(name, name)


def _count(side, check, example):
    slots = getattr(example, side)
    wrong = slots[: check["least"] - 1] if check["least"] > 1 else (*slots, *[Slot()] * check["most"])
    return replace(example, **{side: wrong}).with_options(num_splits=len(wrong) if side == "outputs" else 2)


def _rank(check, example):
    rank = 1 if check["least"] > 1 else 7
    return example.with_tensor(check["tensor"], shape=(1,) * rank)


def _numbers(reference, *values):
    return lambda c, e: e.with_tensor(reference or c["tensor"], data=np.array(values), shape=(len(values),))


def _other(check, example):
    reference = check["tensors"][-1] if "tensors" in check else "output0"
    kind = example.slot(reference).dtype
    return example.with_tensor(reference, dtype="FLOAT16" if kind != "FLOAT16" else "FLOAT32")


def _scale(reference, value):
    return lambda c, e: e.with_tensor(reference or c["tensor"], scales=(value,))


SPOIL = {
    "activation": lambda c, e: e.with_options(fused_activation_function="TANH"),
    "all_ones": _numbers(None, 1, 2, 1, 1),
    "all_positive": _numbers(None, 1, -1, 4, 8),
    "alpha": lambda c, e: e.with_options(alpha=0.0),
    "axes": lambda c, e: e.with_tensor("input1", data=np.zeros(0, np.int32), shape=(0,)),
    "axis_within_rank": lambda c, e: e.with_options(axis=4),
    "bias": lambda c, e: e.with_tensor(c["tensor"], dtype="INT64"),
    "bias_length": lambda c, e: e.with_tensor("input2", shape=(7,), data=np.ones(7)),
    "const": lambda c, e: e.with_tensor(c["tensor"], data=None),
    "data_and_weights": lambda c, e: e.with_tensor(c["weights"], dtype="FLOAT16")
    if e.kind == "BATCH_MATMUL"
    else e.with_tensor("input1", dtype="UINT8", scales=(0.5,), zero_points=(0,)),
    "depth_multiplier": lambda c, e: e.with_options(depth_multiplier=3),
    "divisible": lambda c, e: e.with_tensor("input0", shape=(1, 3, 4, 8) if c["axis"] == 1 else (1, 4, 3, 8)),
    "expected_input": lambda c, e: e.with_options(padding="SAME", stride_w=2, stride_h=2),
    "filter_and_bias": lambda c, e: e.with_tensor(c["bias"], dtype="FLOAT16"),
    "first_positive": _numbers(None, 0, 8),
    "float32": lambda c, e: e.with_tensor(c["tensor"], dtype="FLOAT16"),
    "groups": lambda c, e: e.with_tensor("input1", shape=(8, 1, 1, 16), data=np.ones((8, 1, 1, 16))),
    "input_channels": lambda c, e: e.with_tensor("input1", shape=(8, 1, 1, 4), data=np.ones((8, 1, 1, 4))),
    "kernel_covers_stride": lambda c, e: replace(
        e.with_options(padding="SAME", stride_w=2, stride_h=2), inputs=(const([1, 8, 8, 8]), *e.inputs[1:])
    ),
    "kernel_within_output": lambda c, e: e.with_tensor("input1", shape=(8, 5, 1, 8), data=np.ones((8, 5, 1, 8))),
    "leaky_negative": lambda c, e: e.with_options(alpha=1e-4),
    "leaky_positive": _scale("output0", 1000.0),
    "length_is": _numbers(None, 1, 4, 8),
    "matmul_zero_point": lambda c, e: e.with_tensor("input1", zero_points=(3,)),
    "n_inputs": lambda c, e: _count("inputs", c, e),
    "n_outputs": lambda c, e: _count("outputs", c, e),
    "name_in": lambda c, e: replace(e, custom_code="Nobody").with_options(name="Nobody"),
    "none_negative": lambda c, e: e.with_tensor("input1", data=-np.eye(4, 2, dtype=np.int32)),
    "not_scalar_reshape": lambda c, e: e.with_options(new_shape=[-1])
    if len(e.inputs) == 1
    else e.with_tensor("input1", data=np.array([-1]), shape=(1,)),
    "not_version": lambda c, e: replace(e, version=c["value"]),
    "one_for_each_dimension": _numbers(None, 1, 1, 1),
    "option_eq": spoiling.other_option,
    "option_gt": lambda c, e: e.with_options(**{c["option"]: c["value"]}),
    "output_channels": lambda c, e: e.with_tensor("input0", data=np.array([1, 4, 4, 7])),
    "padding": lambda c, e: e.with_options(padding="UNKNOWN"),
    "paddings_shape": lambda c, e: e.with_tensor("input1", shape=(3, 2), data=np.zeros((3, 2))),
    "positive": lambda c, e: e.with_options(**{c["options"][0]: 0}),
    "present": lambda c, e: replace(e, inputs=(*e.inputs[:2], None)),
    "product_scale": _scale("output0", 1e-4),
    "quantize_pair": lambda c, e: e.with_tensor("input0", dtype="INT8", scales=(0.5,), zero_points=(0,)),
    "rank": _rank,
    "rank_at_least": lambda c, e: e.with_tensor(c["tensor"], shape=(8,)),
    "rank_at_most": lambda c, e: e.with_tensor("input1", shape=(1, 2), data=np.array([[1, 2]])),
    "same_length": _numbers("input2", 1, 2, 4),
    "same_quant": _scale("input0", 0.25),
    "same_type": _other,
    "scale_ratio": _scale(None, 1e6),
    "size_at_most": _numbers(None, 1, 1, 1, 1, 2, 2, 2),
    "splits": lambda c, e: e.with_options(num_splits=3),
    "stride_within_window": lambda c, e: e.with_options(stride_w=3, stride_h=3),
    "types": lambda c, e: e.with_tensor(_first(c), dtype="INT16"),
    "vector": lambda c, e: e.with_tensor(c["tensor"], shape=(2, 2), data=np.ones((2, 2))),
    "weights": lambda c, e: e.with_tensor(c["tensor"], dtype="INT16"),
    "weights_zero_point": lambda c, e: e.with_tensor("input1", zero_points=(3,)),
    "window_of_one": lambda c, e: e.with_options(filter_width=1, filter_height=1, stride_w=2, stride_h=2),
}  # fmt: skip


def spoiled(kind, number):
    check = TABLE["ops"][kind]["checks"][number]
    for twin in twins(kind):
        if check["kind"] in ("filter_and_bias", "data_and_weights") and twin.inputs[0].dtype != "FLOAT32":
            continue
        if "tensor" in check and twin.slot(_first(check)) is None:
            continue
        yield SPOIL[check["kind"]](check, twin)


COVERED_BY = {"window_of_one": "stride_within_window"}
"""A 1x1 window with a stride is a stride beyond the window: the delegate says so first, on the same line."""


@pytest.mark.parametrize(
    ("kind", "number"), [(k, n) for k, n in CHECKS if k not in VARIABLES and k not in NEVER_ACCEPTED], ids=str
)
def test_check_refuses_what_breaks_it_and_takes_its_twin(kind, number):
    check = TABLE["ops"][kind]["checks"][number]
    assert twins(kind)
    found = [r for bad in spoiled(kind, number) for r in judged(bad).refusals]
    place = f"{TABLE['source']['file']}:{check['line']}@{commit(TABLE)}"
    assert any(
        r.source == place and r.kind == COVERED_BY.get(check["kind"], check["kind"]) and r.message for r in found
    ), found


def test_every_kind_of_check_is_used_and_known():
    assert {c["kind"] for rules in TABLE["ops"].values() for c in rules["checks"]} == set(INTERPRETERS)


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if kind not in TABLE["ops"]])
def test_other_operators_are_refused(kind):
    (refusal,) = judged(EXAMPLES[kind][0]).refusals
    assert refusal.kind == "unmapped" and f":{TABLE['not_listed']['line']}@" in refusal.source


def test_expand_dims_is_switched_off_in_the_delegate():
    (refusal,) = judged(EXAMPLES["EXPAND_DIMS"][0]).refusals
    assert ":4865@" in refusal.source


def variables(shape=(1, 4), dtype="FLOAT32", with_handle=True, used=True):
    """VAR_HANDLE -> ASSIGN_VARIABLE, READ_VARIABLE."""
    tensors = [tensor(0, (1, 4)), tensor(1, (), "RESOURCE"), tensor(2, shape, dtype), tensor(3, (), "RESOURCE")]
    ops = [op(0, "VAR_HANDLE", (), (1 if with_handle else 3,))]
    if used:
        ops += [op(1, "ASSIGN_VARIABLE", (1, 0), ()), op(2, "READ_VARIABLE", (1,), (2,))]
    return graph(tensors, ops, outputs=(2,))


@pytest.mark.parametrize(
    ("made", "refused_at"),
    [
        (variables(), []),
        (variables(shape=(2, 4)), [3487, 5725]),
        (variables(with_handle=False), [7433, 3487, 5725]),
        (variables(used=False), [7433]),
        (variables(shape=()), [3487, 5725]),
    ],
)
def test_variables_are_taken_when_made_here_and_of_one_shape(made, refused_at):
    refused = [o for o in place_graph(made, "p", "xnnpack").ops if not o.accepted]
    assert [int(o.source.split(":")[1].split("@")[0]) for o in refused] == refused_at


OPTIONS = {
    **{
        kind: f"{kind.title()}Options"
        for kind in ("ADD", "SUB", "MUL", "DIV", "ABS", "EXP", "NEG", "COS", "GELU", "PAD")
    },
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), "ReducerOptions"),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), "Pool2DOptions"),
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "RESHAPE": "ReshapeOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "SPLIT": "SplitOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
}
ASKED = [kind for kind in TABLE["ops"] if kind not in (*VARIABLES, "CUSTOM", "STABLEHLO_COMPOSITE")]


def as_file(example):
    """The example as a file whose inputs are all computed tensors."""
    made = example.graph()
    computed = tuple(dict.fromkeys(i for o in made.ops for i in o.inputs if i >= 0 and made.tensors[i].data is None))
    return write(replace(made, inputs=computed), options=OPTIONS)


def interpreters_answer(model):
    """Whether LiteRT hands the operator to XNNPACK; None where it cannot load the file at all."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    try:
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError):
        return None
    return any(d["op_name"] == "DELEGATE" for d in interpreter._get_ops_details())


def files(examples):
    """Examples with their files, without those the schema cannot say."""
    for example in examples:
        try:
            yield example, as_file(example)
        except (ValueError, KeyError, AttributeError):
            continue


def asked(models):
    """The interpreter's answers, in one child process; one by one where it crashes; None for what it crashes on."""
    try:
        return guarded(lambda ready: [interpreters_answer(model) for model in models], seconds=120, where="")
    except BenchError:
        if len(models) == 1:
            return [None]
    middle = len(models) // 2
    return asked(models[:middle]) + asked(models[middle:])


@pytest.mark.parametrize("kind", ASKED)
def test_the_interpreter_answers_the_same(kind):
    cases = [*twins(kind), *EXAMPLES.get(kind, ())]
    for number in range(len(TABLE["ops"][kind]["checks"])):
        cases += list(spoiled(kind, number))
    answers = Counter()
    known = list(files(cases))
    for (example, _), answer in zip(known, asked([model for _, model in known]), strict=True):
        if answer is not None:
            verdict = judged(example)
            assert answer is verdict.accepted, (example, verdict.refusals)
            answers[answer] += 1
    assert answers


def packed(dtype, *readers):
    """A constant behind DEQUANTIZE, read by operators that XNNPACK takes (MAXIMUM) or refuses (POW)."""
    scales = {"scales": (0.5,), "zero_points": (0,)} if dtype != "FLOAT16" else {}
    tensors = [tensor(0), tensor(1, dtype=dtype, data=np.ones((1, 1, 8, 4)), **scales), tensor(2)]
    tensors += [tensor(3 + i) for i in range(len(readers))]
    ops = [op(0, "DEQUANTIZE", (1,), (2,))]
    ops += [op(1 + i, kind, (0, 2), (3 + i,)) for i, kind in enumerate(readers)]
    return graph(tensors, ops, outputs=tuple(range(3, 3 + len(readers))))


@pytest.mark.parametrize("dtype", ["FLOAT16", "INT8", "UINT8"])
@pytest.mark.parametrize("readers", [("MAXIMUM",), ("POW",), ("MAXIMUM", "POW"), ("POW", "MAXIMUM", "MAXIMUM")])
def test_constants_are_unpacked_for_readers_that_are_all_delegated(dtype, readers):
    made = packed(dtype, *readers)
    placement = place_graph(made, "p", "xnnpack")
    model = write(made, options={"MAXIMUM": "MaximumMinimumOptions", "POW": "PowOptions"})
    assert placement.partitions == guarded(lambda ready: partitions(model), seconds=60, where="")
    assert placement.ops[0].folded is ("POW" not in readers and dtype != "UINT8")
    assert placement.ops[0].accepted is ("POW" not in readers or dtype == "UINT8")


@pytest.mark.parametrize("sparse", [True, False])
def test_a_constant_may_be_unpacked_twice(sparse):
    """Sparse float16 weights, as MediaPipe's models have them: DENSIFY, then DEQUANTIZE, then a convolution."""
    kernel = {"dtype": "FLOAT16", "data": np.ones((8, 1, 1, 4), np.float16), "is_sparse": sparse}
    tensors = [tensor(0), tensor(1, (8, 1, 1, 4), **kernel), tensor(2, (8, 1, 1, 4), "FLOAT16")]
    tensors += [tensor(3, (8, 1, 1, 4)), tensor(4, (8,), data=np.ones(8, np.float32)), tensor(5, (1, 1, 8, 8))]
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    ops = [op(0, "DENSIFY", (1,), (2,)), op(1, "DEQUANTIZE", (2,), (3,)), op(2, "CONV_2D", (0, 3, 4), (5,), **options)]
    placement = place_graph(graph(tensors, ops), "p", "xnnpack")
    # Real files (face_detection_full_range_sparse, pose_detection) are one partition in LiteRT 2.3.0 too.
    assert [seen.folded for seen in placement.ops] == [sparse, sparse, False]
    assert (placement.delegated_ops == placement.total_ops) is sparse


def partitions(model):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    return sum(d["op_name"] == "DELEGATE" for d in interpreter._get_ops_details())
