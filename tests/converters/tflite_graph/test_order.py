"""Operators run right before their results are needed; what they compute stays the same, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import InputError
from converters.keras_to_tflite import to_tflite
from converters.tflite_graph.flatbuffer import dump, load
from converters.tflite_graph.fuse_constants import kind_of
from converters.tflite_graph.order import in_order_of_need
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.compress.small_parts import branched_part, inputs

PART = branched_part()


@pytest.fixture(scope="module")
def early():
    """All convolutions run first, and their results wait to be added up."""
    model = load(to_tflite(PART.model, PART.interface))
    graph = model.subgraphs[0]
    graph.operators.sort(key=lambda operator: kind_of(model, operator) != schema.BuiltinOperator.CONV_2D)
    return dump(model)


def _waiting_bytes(content) -> int:
    """The most that computed values which are still to be read take at any operator."""
    graph = read_tflite(content)
    made = {t: op.index for op in graph.ops for t in op.outputs}
    last = {t: op.index for op in graph.ops for t in op.inputs}
    sizes = {t: int(np.prod(graph.tensors[t].shape)) * 4 for t in made}
    return max(
        sum(size for t, size in sizes.items() if made[t] <= op.index <= last.get(t, len(graph.ops))) for op in graph.ops
    )


def test_values_wait_less_and_stay_the_same(early):
    made = in_order_of_need(early)
    assert _waiting_bytes(made) <= 0.75 * _waiting_bytes(early)
    assert sorted(op.kind for op in read_tflite(made).ops) == sorted(op.kind for op in read_tflite(early).ops)
    for arrays in inputs(2):
        expected, found = (tflite_runner(file, PART.interface)(arrays)["audio"] for file in (early, made))
        np.testing.assert_array_equal(expected, found)


def test_every_value_is_made_before_it_is_read(early):
    graph = read_tflite(in_order_of_need(early))
    made = {t: op.index for op in graph.ops for t in op.outputs}
    assert all(made[t] < op.index for op in graph.ops for t in op.inputs if t in made)


def test_ordering_twice_changes_nothing(early):
    once = in_order_of_need(early)
    assert in_order_of_need(once) == once


def test_what_no_output_needs_comes_last(early):
    model = load(early)
    graph = model.subgraphs[0]
    spare = schema.OperatorT()
    spare.opcodeIndex, spare.builtinOptionsType = graph.operators[0].opcodeIndex, graph.operators[0].builtinOptionsType
    spare.builtinOptions = graph.operators[0].builtinOptions
    tensor = load(early).subgraphs[0].tensors[graph.operators[0].outputs[0]]
    tensor.name = b"nobody/reads"
    graph.tensors.append(tensor)
    spare.inputs, spare.outputs = graph.operators[0].inputs, [len(graph.tensors) - 1]
    graph.operators.insert(1, spare)
    ops = read_tflite(in_order_of_need(dump(model))).ops
    assert len(ops) == len(graph.operators) and ops[-1].outputs == (len(graph.tensors) - 1,)


def test_a_file_with_state_stays_as_it_is(early):
    model = load(early)
    graph = model.subgraphs[0]
    code, handle, tensor = schema.OperatorCodeT(), schema.OperatorT(), schema.TensorT()
    code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.VAR_HANDLE, 127
    model.operatorCodes.append(code)
    tensor.type, tensor.shape, tensor.name = schema.TensorType.RESOURCE, [1], b"cache"
    graph.tensors.append(tensor)
    handle.opcodeIndex, handle.inputs = len(model.operatorCodes) - 1, []
    handle.outputs = [len(graph.tensors) - 1]
    handle.builtinOptionsType, handle.builtinOptions = (
        schema.BuiltinOptions.VarHandleOptions,
        schema.VarHandleOptionsT(),
    )
    graph.operators.append(handle)
    with_state = dump(model)
    assert in_order_of_need(with_state) == with_state


def test_a_damaged_file_is_refused(early):
    with pytest.raises(InputError):
        in_order_of_need(early[:100])
