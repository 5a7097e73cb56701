"""Orders the operators of a TFLite file so that a value is made shortly before it is read.

TensorFlow's converter writes operators roughly in the order layers were called, quantised branches first, so that
signals of several megabytes wait for their readers: they leave the caches, and the arena must hold them all. Here every
operator runs right before the first that needs it. Values and their arithmetic stay exactly the same.
"""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.control_edges import control_edges
from converters.tflite_graph.flatbuffer import dump, load
from converters.tflite_graph.fuse_constants import kind_of

_BUILTIN = schema.BuiltinOperator
_STATE = frozenset({_BUILTIN.VAR_HANDLE, _BUILTIN.READ_VARIABLE, _BUILTIN.ASSIGN_VARIABLE, _BUILTIN.CALL_ONCE})


def in_order_of_need(content: bytes) -> bytes:
    """The file with the operators of its first graph in the order in which their results are needed.

    Operators no output depends on come last, in the order they had. A file that keeps state between runs, or states
    which operators run after which, stays as it is.

    Args:
        content: a file.

    Raises:
        InputError: the file is damaged.
    """
    model = load(content)
    graph = model.subgraphs[0]
    if control_edges(model, 0) is not None or any(kind_of(model, operator) in _STATE for operator in graph.operators):
        return content
    order = _order(graph)
    if order == list(range(len(order))):
        return content
    graph.operators = [graph.operators[index] for index in order]
    return dump(model)


def _order(graph: Any) -> list[int]:
    """Positions of the operators, inputs before their readers, depth first from the outputs of the graph."""
    makers = {int(t): index for index, operator in enumerate(graph.operators) for t in operator.outputs}
    needed = [[makers[t] for t in map(int, operator.inputs) if t in makers] for operator in graph.operators]
    ends = [makers[int(t)] for t in graph.outputs if int(t) in makers]
    order: list[int] = []
    placed: set[int] = set()
    for end in (*ends, *range(len(needed))):
        waiting = [end]
        while waiting:
            index = waiting[-1]
            missing = next((i for i in needed[index] if i not in placed), None)
            if index in placed or missing is None:
                waiting.pop()
                if index not in placed:
                    placed.add(index)
                    order.append(index)
            else:
                waiting.append(missing)
    return order
