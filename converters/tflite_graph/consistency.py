"""Checks that the numbers in a TFLite file that stand for other things in it (tensors, buffers, graphs) exist."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.control_edges import control_edges

SCHEMA_VERSION = 3
_LARGEST_SIZE = 2**62
_TYPES = {value for value in vars(schema.TensorType).values() if isinstance(value, int)}
_GRAPH_FIELDS = (
    "condSubgraphIndex",
    "bodySubgraphIndex",
    "thenSubgraphIndex",
    "elseSubgraphIndex",
    "initSubgraphIndex",
    "decompositionSubgraphIndex",
    "comparatorSubgraphIndex",
    "updateComputationSubgraphIndex",
    "subgraph",
)
"""Options that name another graph of the file."""


def check(model: Any) -> None:
    """Checks a file that was read into a ``ModelT``.

    Raises:
        ValueError: something is named that is not there, or a graph runs itself.
    """
    if model.version != SCHEMA_VERSION:
        raise ValueError(f"it says version {model.version} of the format; {SCHEMA_VERSION} is the only one")
    if not model.subgraphs or not model.buffers or model.operatorCodes is None:
        raise ValueError("no graph")
    for entry in model.metadata or ():
        _in_range(entry.buffer, len(model.buffers), "an entry of the metadata names a buffer", "")
    for number, graph in enumerate(model.subgraphs):
        where = f" (graph {number})" if number else ""
        for tensor in graph.tensors or ():
            _check_tensor(model, tensor, where)
        for operator in graph.operators or ():
            _check_operator(model, graph, operator, where)
        count = len(graph.tensors or ())
        _check_indices(graph.inputs, count, "the graph's inputs name", where)
        _check_indices(graph.outputs, count, "the graph's outputs name", where)
        _check_order(graph, where)
        for index in (each for edge in control_edges(model, number) or () for each in edge):
            _in_range(index, len(graph.operators or ()), "a control dependency names an operator", where)
    _check_signatures(model)
    _check_calls(model)


def _check_tensor(model: Any, tensor: Any, where: str) -> None:
    tensor.name = tensor.name or b""
    _in_range(tensor.buffer, len(model.buffers), "a tensor names a buffer", where)
    if int(tensor.type) not in _TYPES:
        raise ValueError(f"a tensor is of type {tensor.type}, which the format does not have{where}")
    shape = _values(tensor.shape)
    if any(size < 0 for size in shape) or math.prod(shape) > _LARGEST_SIZE:
        raise ValueError(f"a tensor has the impossible shape {shape[:8]}{where}")


def _check_operator(model: Any, graph: Any, operator: Any, where: str) -> None:
    _in_range(operator.opcodeIndex, len(model.operatorCodes), "an operator names a code", where)
    count = len(graph.tensors or ())
    _check_indices(operator.inputs, count, "an operator names an input tensor", where, optional=True)
    _check_indices(operator.outputs, count, "an operator names an output tensor", where)
    _check_indices(operator.intermediates, count, "an operator names an intermediate tensor", where, optional=True)


def _check_order(graph: Any, where: str) -> None:
    """Every operator can run once those before it have, in some order."""
    operators = list(enumerate(graph.operators or ()))
    waiting = {int(tensor) for _, operator in operators for tensor in _values(operator.outputs)}
    while operators:
        stuck = []
        for index, operator in operators:
            if waiting.isdisjoint(_values(operator.inputs)):
                waiting.difference_update(_values(operator.outputs))
            else:
                stuck.append((index, operator))
        if len(stuck) == len(operators):
            names = ", ".join(str(index) for index, _ in stuck[:5])
            raise ValueError(f"operators {names} wait for each other in a circle{where}")
        operators = stuck


def _values(indices: Any) -> list[int]:
    return [] if indices is None or isinstance(indices, int) else [int(index) for index in indices]


def _check_signatures(model: Any) -> None:
    for signature in model.signatureDefs or ():
        _in_range(signature.subgraphIndex, len(model.subgraphs), "a signature names a graph", "")
        count = len(model.subgraphs[signature.subgraphIndex].tensors or ())
        for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
            _in_range(entry.tensorIndex, count, "a signature names a tensor", "")


def _check_calls(model: Any) -> None:
    """Every graph that is named exists, and none runs itself: LiteRT would do so without end."""
    calls = [set(_called(graph, len(model.subgraphs))) for graph in model.subgraphs]
    finished: set[int] = set()
    for start in range(len(calls)):
        path, left = [start], [iter(sorted(calls[start]))]
        while path:
            following = next(left[-1], None)
            if following is None:
                finished.add(path.pop())
                left.pop()
            elif following in path:
                raise ValueError(f"graph {following} runs itself")
            elif following not in finished:
                path.append(following)
                left.append(iter(sorted(calls[following])))


def _called(graph: Any, count: int) -> Iterable[int]:
    for operator in graph.operators or ():
        for options in (operator.builtinOptions, operator.builtinOptions2):
            for field in _GRAPH_FIELDS:
                index = getattr(options, field, None)
                if isinstance(index, (int, np.integer)):
                    _in_range(int(index), count, "an operator names a graph", "")
                    yield int(index)


def _check_indices(indices: Any, count: int, what: str, where: str, *, optional: bool = False) -> None:
    values = np.asarray(_values(indices), np.int64)
    if values.size:
        lowest, highest = int(values.min()), int(values.max())
        if lowest < (-1 if optional else 0) or highest >= count:
            wrong = lowest if lowest < (-1 if optional else 0) else highest
            raise ValueError(f"{what} {wrong} that is not there: there are {count}{where}")


def _in_range(index: int, count: int, what: str, where: str) -> None:
    if not 0 <= index < count:
        raise ValueError(f"{what} {index} that is not there: there are {count}{where}")
