"""Real .tflite files of a few operators, placed; XNNPACK's placement is checked against the interpreter itself."""

import functools

import numpy as np
import pytest

from tests.toolkit.delegates.small_graphs import convert, graph, op, tensor, unary_chain, weights
from toolkit.delegates.gpu_wrong_results import same_padding_agrees
from toolkit.delegates.place import place, place_all, place_graph
from toolkit.errors import DelegateError


def tf():
    from converters import frameworks

    return frameworks.tensorflow()


@functools.cache
def vocoder_like(int8=False, float16=False):
    k1, b1, k2 = weights(1, 3, 8, 8), weights(8), weights(1, 3, 8, 1)

    def f(x):
        t = tf()
        y = t.nn.bias_add(t.nn.conv2d(x, k1, 1, "SAME"), b1)
        y = t.nn.leaky_relu(y, 0.1)
        return t.tanh(t.nn.bias_add(t.nn.conv2d(y, k2, 1, "SAME"), np.ones(1, np.float32)))

    return convert(f, (1, 1, 32, 8), int8=int8, float16=float16)


@functools.cache
def attention_like():
    w = weights(1, 4, 8, 16)

    def f(q, k):
        t = tf()
        s = t.nn.softmax(t.matmul(q, k, transpose_b=True))
        return t.reverse(t.matmul(s, k), axis=[2]) + w

    return convert(f, (1, 4, 8, 16), (1, 4, 8, 16))


@functools.cache
def transposed(padding="SAME", length=50, kernel=16, stride=8):
    w = weights(1, kernel, 4, 8)
    out = length * stride if padding == "SAME" else (length - 1) * stride + kernel
    return convert(lambda x: tf().nn.conv2d_transpose(x, w, [1, 1, out, 4], [1, stride], padding), (1, 1, length, 8))


@functools.cache
def rank5():
    return convert(lambda x: tf().transpose(tf().reshape(x, [1, 2, 4, 2, 4]), [0, 1, 3, 2, 4]), (1, 8, 8))


def delegates_in_interpreter(model):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    return [d for d in interpreter._get_ops_details() if d["op_name"] == "DELEGATE"]


def refused(placement):
    return {(o.op, o.reason, o.source) for o in placement.ops if not o.accepted}


@pytest.mark.parametrize("int8", [False, True])
def test_convolutional_net_is_one_nnapi_partition(int8):
    placement = place(vocoder_like(int8=int8), "decoder", "nnapi", level=31)
    assert placement.fully_delegated and placement.transitions == 0
    assert placement.delegated_macs_ratio == 1.0
    assert "Android 12" in placement.level and "deprecated since Android 15" in placement.notes[0]


def test_convolution_without_bias_is_refused_by_nnapi_with_its_source_line():
    tensors = [tensor(0), tensor(1, (4, 1, 3, 4), data=weights(4, 1, 3, 4)), tensor(2)]
    options = {
        "fused_activation_function": "NONE",
        "padding": "SAME",
        "stride_w": 1,
        "stride_h": 1,
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
    }
    bare = graph(tensors, [op(0, "CONV_2D", (0, 1), (2,), **options)])
    placement = place_graph(bare, "p", "nnapi")
    assert placement.partitions == 0 and placement.delegated_ops == 0
    (only,) = placement.ops
    assert (
        "bias" in only.reason
        and only.source == "tflite/delegates/nnapi/nnapi_delegate.cc:2518@f67457790c9c"
        and "zeros" in only.hint
    )
    # twin: the same net with a bias is taken
    with_bias = graph(
        [*tensors, tensor(3, (4,), data=weights(4))], [op(0, "CONV_2D", (0, 1, 3), (2,), **options)], outputs=(2,)
    )
    assert place_graph(with_bias, "p", "nnapi").fully_delegated


@pytest.mark.parametrize(("level", "accepted"), [(30, False), (31, False), (1000006, True), (1000008, True)])
def test_batch_matmul_needs_feature_level_6(level, accepted):
    placement = place(attention_like(), "encoder", "nnapi", level=level)
    matmuls = [o for o in placement.ops if o.op == "BATCH_MATMUL"]
    assert matmuls and all(o.accepted is accepted for o in matmuls)


def test_flip_needs_feature_level_7():
    for level, accepted in ((1000006, False), (1000007, True)):
        flips = [o for o in place(attention_like(), "encoder", "nnapi", level=level).ops if o.op == "REVERSE_V2"]
        assert [o.accepted for o in flips] == [accepted]


def test_level_29_refuses_what_level_31_takes():
    tensors = [tensor(0, dtype="INT32"), tensor(1, dtype="INT32"), tensor(2, dtype="INT32")]
    add = graph(tensors, [op(0, "ADD", (0, 1), (2,), fused_activation_function="NONE")], inputs=(0, 1))
    assert not place_graph(add, "p", "nnapi", level=29).ops[0].accepted
    assert place_graph(add, "p", "nnapi", level=31).ops[0].accepted


def test_float16_weights_fold_into_their_readers():
    model = vocoder_like(float16=True)
    for delegate in ("nnapi", "gpu_litert", "gpu_classic"):
        placement = place(model, "flow", delegate)
        folded = [o for o in placement.ops if o.folded]
        assert folded and all(o.op == "DEQUANTIZE" for o in folded)
        assert placement.fully_delegated, (delegate, refused(placement))
    assert any("nothing at all" in note for note in place(model, "flow", "nnapi").notes)


@pytest.mark.parametrize(
    "make",
    [
        vocoder_like,
        attention_like,
        transposed,
        rank5,
        functools.partial(vocoder_like, int8=True),
        functools.partial(vocoder_like, float16=True),
    ],
)
def test_xnnpack_placement_equals_the_interpreters(make):
    model = make()
    placement = place(model, "p", "xnnpack")
    assert placement.partitions == len(delegates_in_interpreter(model)), refused(placement)


def test_rank_5_is_refused_by_both_gpu_delegates_and_reshape_by_nnapi():
    for delegate in ("gpu_classic", "gpu_litert"):
        assert place(rank5(), "p", delegate).delegated_ops == 0
    placement = place(rank5(), "p", "nnapi")
    assert any(o.op == "RESHAPE" and "rank" in o.reason and o.hint for o in placement.ops if not o.accepted)


def test_transposed_convolution_with_same_padding_is_flagged_on_the_gpu():
    placement = place(transposed(), "decoder", "gpu_litert")
    assert [w.op for w in placement.wrong_results] == ["TRANSPOSE_CONV"] and "VALID" in placement.wrong_results[0].hint
    # twins: the other padding, and a length that the stride divides
    assert place(transposed(padding="VALID"), "decoder", "gpu_litert").wrong_results == ()
    assert place(transposed(length=24), "decoder", "gpu_litert").wrong_results == ()
    assert place(transposed(), "decoder", "nnapi").wrong_results == ()


# length, kernel, stride, whether the accelerator's output was right: 20 runs on a software Vulkan device
PROBED_ON_THE_GPU = [
    (16, 11, 5, False),
    (24, 11, 5, True),
    (25, 11, 5, True),
    (30, 11, 5, True),
    (50, 11, 5, True),
    (16, 16, 8, True),
    (24, 16, 8, True),
    (25, 16, 8, False),
    (30, 16, 8, False),
    (50, 16, 8, False),
    (16, 3, 3, False),
    (24, 3, 3, True),
    (25, 3, 3, False),
    (30, 3, 3, True),
    (50, 3, 3, True),
    (16, 4, 2, True),
    (24, 4, 2, True),
    (25, 4, 2, True),
    (30, 4, 2, True),
    (50, 4, 2, True),
]


@pytest.mark.parametrize(("length", "kernel", "stride", "right"), PROBED_ON_THE_GPU)
def test_same_padding_agrees(length, kernel, stride, right):
    assert same_padding_agrees(length, kernel, stride) is right


def test_gather_with_int64_indices_is_refused_by_the_gpu_and_int32_taken():
    def gather(dtype):
        tensors = [tensor(0, (8, 4)), tensor(1, (3,), dtype, data=np.array([2, 1, 0])), tensor(2, (3, 4))]
        return graph(tensors, [op(0, "GATHER", (0, 1), (2,), axis=0)])

    assert place_graph(gather("INT32"), "p", "gpu_litert").ops[0].accepted
    assert not place_graph(gather("INT64"), "p", "gpu_litert").ops[0].accepted


def test_broadcast_batch_matmul_is_flagged_wrong_on_the_gpu_and_refused_by_nnapi():
    tensors = [tensor(0, (2, 8, 4)), tensor(1, (1, 4, 8)), tensor(2, (2, 8, 8))]
    g = graph(tensors, [op(0, "BATCH_MATMUL", (0, 1), (2,), adj_x=False, adj_y=False)], inputs=(0, 1))
    gpu = place_graph(g, "p", "gpu_litert")
    assert gpu.ops[0].accepted and gpu.wrong_results[0].op == "BATCH_MATMUL"
    assert not place_graph(g, "p", "nnapi", level=1000008).ops[0].accepted


def test_gpu_keeps_only_the_largest_partition_and_nnapi_three():
    kinds = ["ABS", "ONE_HOT_LIKE", "ABS", "ABS", "ONE_HOT_LIKE", "ABS", "ONE_HOT_LIKE", "ABS"]
    g = unary_chain(kinds)
    gpu, nnapi = place_graph(g, "p", "gpu_litert"), place_graph(g, "p", "nnapi")
    assert (gpu.partitions, gpu.delegated_ops) == (1, 2)
    assert (nnapi.partitions, nnapi.delegated_ops) == (3, 4)
    left = [o for o in nnapi.ops if o.accepted and o.partition is None]
    assert [o.index for o in left] == [7] and "smaller partition" in left[0].reason
    assert (
        left[0].source == "tflite/delegates/nnapi/nnapi_delegate.cc:6752@f67457790c9c" and "become one" in left[0].hint
    )
    assert {o.source for o in gpu.ops if o.accepted and o.partition is None} == {
        "ml_drift_delegate/delegate/delegate_webgpu.cc:572@f67457790c9c"
    }
    assert nnapi.transitions == 5 and any("largest" in note for note in nnapi.notes)


def test_int8_leaky_relu_with_extreme_scales_is_refused_by_xnnpack():
    def leaky(out_scale):
        tensors = [
            tensor(0, dtype="INT8", scales=(1.0,), zero_points=(0,)),
            tensor(1, dtype="INT8", scales=(out_scale,), zero_points=(0,)),
        ]
        return place_graph(graph(tensors, [op(0, "LEAKY_RELU", (0,), (1,), alpha=0.1)]), "p", "xnnpack").ops[0]

    assert leaky(1.0).accepted
    assert not leaky(100.0).accepted and "calibrate" in leaky(100.0).hint


def test_place_all_covers_the_four_delegates():
    assert [p.delegate for p in place_all(vocoder_like(), "p")] == ["nnapi", "gpu_classic", "gpu_litert", "xnnpack"]


def test_unknown_delegate_is_refused():
    with pytest.raises(DelegateError, match="hexagon"):
        place(vocoder_like(), "p", "hexagon")


@pytest.mark.parametrize("sparse", [True, False])
def test_weights_from_sparse_constants_are_flagged_wrong_on_the_gpu(sparse):
    """Executed: the sparse models of MediaPipe 0.10.14 come out wrong when the CPU unpacks and the GPU convolves."""
    kernel = {"dtype": "FLOAT16", "data": np.ones((8, 1, 1, 4), np.float16), "is_sparse": sparse}
    tensors = [tensor(0), tensor(1, (8, 1, 1, 4), **kernel), tensor(2, (8, 1, 1, 4), "FLOAT16")]
    tensors += [tensor(3, (8, 1, 1, 4)), tensor(4, (8,), data=np.ones(8, np.float32)), tensor(5, (1, 1, 8, 8))]
    unpacked = [op(0, "DENSIFY", (1,), (2,)), op(1, "DEQUANTIZE", (2,), (3,))] if sparse else []
    unpacked += [] if sparse else [op(0, "DEQUANTIZE", (1,), (3,))]
    first = len(unpacked)
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    made = graph(tensors, [*unpacked, op(first, "CONV_2D", (0, 3, 4), (5,), **options)])
    placement = place_graph(made, "p", "gpu_litert")
    assert [w.op for w in placement.wrong_results] == ["CONV_2D"] * sparse
    assert not sparse or (placement.wrong_results[0].hint and "DENSIFY" in placement.wrong_results[0].reason)
