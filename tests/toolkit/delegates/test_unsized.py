"""Graphs with sizes that are known only when they run: refused whole where the delegate takes static sizes alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.toolkit.delegates.small_graphs import graph, op, tensor
from tests.toolkit.delegates.test_software_gpu import needs_gpu
from toolkit.delegates.place import place, place_graph
from toolkit.delegates.software_gpu import execute_on_gpu
from toolkit.delegates.unsized import STATIC_SIZES_ONLY, first_unsized

SIZES = np.array([1, 1, 8, 4], np.int32)


def _reshaped(*makers):
    """RELU, then RESHAPE to a shape that ``makers`` compute of the input's shape, of values 2 and 3 on."""
    shape = 2 + len(makers)
    tensors = [tensor(0), tensor(1), *(tensor(2 + i, (4,), "INT32") for i in range(len(makers)))]
    tensors += [tensor(shape), tensor(shape + 1, (1,), "INT32", np.array([0], np.int32))]
    ops = [op(0, "RELU", (0,), (1,))]
    for number, kind in enumerate(makers):
        before = 0 if kind == "SHAPE" else 1 + number
        more = (shape + 1,) * 3 if kind == "STRIDED_SLICE" else ()
        ops.append(op(1 + number, kind, (before, *more), (2 + number,)))
    ops.append(op(1 + len(makers), "RESHAPE", (1, 1 + len(makers)), (shape,)))
    return graph(tensors, ops)


@pytest.mark.parametrize(
    ("makers", "sized"),
    [
        (("SHAPE",), True),
        (("SHAPE", "STRIDED_SLICE"), True),
        (("SHAPE", "GATHER"), True),
        (("SHAPE", "PACK"), False),
        (("SHAPE", "STRIDED_SLICE", "PACK"), False),
        (("SHAPE", "CAST"), False),
    ],
)
def test_what_kernels_compute_before_anything_runs_sizes_a_graph(makers, sized):
    made = _reshaped(*makers)
    found = first_unsized(made)
    assert (found is None) is sized and (sized or found.kind == "RESHAPE")
    for delegate in STATIC_SIZES_ONLY:
        placed = place_graph(made, "p", delegate)
        assert sized or placed.delegated_ops == 0
        assert any("known only when" in note for note in placed.notes) is not sized
    assert (place_graph(made, "p", "gpu_litert").delegated_ops == 1) is sized  # RELU
    assert place_graph(made, "p", "xnnpack").delegated_ops == 1


def test_every_left_operator_says_why_and_what_to_do():
    relu = place_graph(_reshaped("SHAPE", "PACK"), "p", "gpu_litert").ops[0]
    assert relu.accepted and relu.partition is None
    assert "known only when it runs" in relu.reason and "subgraph.cc:2544@" in relu.source and "SHAPE" in relu.hint


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [("TRANSPOSE", (0, 2)), ("SLICE", (0, 2, 2)), ("TILE", (0, 2)), ("SPLIT", (2, 0)), ("UNIQUE", (0,))],
)
def test_operands_that_decide_a_size_must_be_constant(kind, inputs):
    def made(data):
        return graph([tensor(0), tensor(1), tensor(2, (4,), "INT32", data)], [op(0, kind, inputs, (1,))], inputs=(0, 2))

    assert first_unsized(made(None)).kind == kind
    assert (first_unsized(made(SIZES)) is None) is (kind != "UNIQUE")


def _file(folder: Path, packed: bool) -> Path:
    import converters.frameworks as frameworks

    tf = frameworks.tensorflow()

    def function(x, y):
        taken = tf.shape(y)[1] * 8 if packed else 8  # y is one wide where nobody says otherwise
        return tf.nn.relu(tf.reshape(tf.nn.tanh(x), [1, 1, taken, 4]))

    specs = (tf.TensorSpec((1, 8, 1, 4), tf.float32), tf.TensorSpec((1, None if packed else 8), tf.float32))
    concrete = tf.function(function).get_concrete_function(*specs)
    path = folder / f"{packed}.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert())
    return path


@needs_gpu
@pytest.mark.parametrize("packed", [False, True])
def test_litert_says_the_same_of_a_real_file(packed, tmp_path):
    path = _file(tmp_path, packed)
    arrays = tmp_path / "inputs.npz"
    np.savez(arrays, x=np.ones((1, 8, 1, 4), np.float32), y=np.ones((1, 1 if packed else 8), np.float32))
    ran, placed = execute_on_gpu(path, arrays=arrays), place(path, "p", "gpu_litert")
    assert (placed.delegated_ops == 0) is packed
    assert ran.gpu_ops == placed.delegated_ops and ran.accepted is not packed
