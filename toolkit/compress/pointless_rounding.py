"""Takes out roundings to 8 bits that nothing computes with.

With quantisation on, TensorFlow's converter gives SOFTMAX, TANH and LOGISTIC the fixed 8-bit scale their range allows,
and carries it through operators that only move values, though all around them is float:

    TANH -> QUANTIZE -> RESHAPE 8 bits -> DEQUANTIZE -> float     =>     TANH -> RESHAPE -> float

The signal loses 8 bits' worth for nothing. Such a QUANTIZE, the moving operators behind it that nobody asked to be
8-bit, and their DEQUANTIZE become float again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph import edges
from converters.tflite_graph.buffers import compact
from converters.tflite_graph.flatbuffer import dump, load
from converters.tflite_graph.fuse_constants import kind_of
from converters.tflite_graph.widened_constants import drop_unused_tensors
from toolkit.compress.audit import operators_asking
from toolkit.compress.precision import PrecisionPlan

_BUILTIN: Final = schema.BuiltinOperator
_MOVES: Final = frozenset(
    {
        _BUILTIN.RESHAPE,
        _BUILTIN.TRANSPOSE,
        _BUILTIN.STRIDED_SLICE,
        _BUILTIN.SLICE,
        _BUILTIN.SQUEEZE,
        _BUILTIN.EXPAND_DIMS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Island:
    """A QUANTIZE, what only moves its values, and the DEQUANTIZEs behind: positions among the operators."""

    entry: int
    moves: tuple[int, ...]
    exits: tuple[int, ...]


def without_pointless_rounding(content: bytes, plan: PrecisionPlan) -> bytes:
    """The file in which only what computes in 8 bits, or was asked to be 8-bit, is rounded to them.

    Args:
        content: a file of one graph.
        plan: what was asked of its operators.

    Returns:
        The same bytes where nothing is rounded in vain.
    """
    model = load(content)
    (graph,) = model.subgraphs
    asked = operators_asking(content, plan, "int8")
    islands = [found for index in range(len(graph.operators)) if (found := _island(model, graph, index, asked))]
    if not islands:
        return content
    gone: set[int] = set()
    for island in islands:
        gone |= _made_float(graph, island)
    graph.operators = [operator for index, operator in enumerate(graph.operators) if index not in gone]
    drop_unused_tensors(graph, model)
    compact(model)
    return dump(model)


def _island(model: Any, graph: Any, index: int, asked: frozenset[int]) -> _Island | None:
    entry = graph.operators[index]
    if kind_of(model, entry) != _BUILTIN.QUANTIZE or not _is_float(graph, entry.inputs[0]):
        return None
    outputs = {int(value) for value in graph.outputs}
    moves: list[int] = []
    exits: list[int] = []
    waiting = [int(entry.outputs[0])]
    while waiting:
        tensor = waiting.pop()
        readers = edges.readers(graph, tensor)
        if not readers or tensor in outputs:
            return None
        for reader in readers:
            operator = graph.operators[reader]
            kind = kind_of(model, operator)
            if kind == _BUILTIN.DEQUANTIZE:
                exits.append(reader)
            elif kind in _MOVES and int(operator.inputs[0]) == tensor and reader not in asked:
                moves.append(reader)
                waiting.append(int(operator.outputs[0]))
            else:
                return None
    ends = sum(int(graph.operators[exit_].outputs[0]) in outputs for exit_ in exits)
    if ends > 1 or (ends and edges.maker(graph, int(entry.inputs[0])) is None):
        return None  # outputs of the file that would be one tensor, or its input
    return _Island(entry=index, moves=tuple(moves), exits=tuple(exits))


def _made_float(graph: Any, island: _Island) -> set[int]:
    """Rewires one island; returns the positions of the operators that are gone."""
    entry = graph.operators[island.entry]
    source, rounded = int(entry.inputs[0]), int(entry.outputs[0])
    for move in island.moves:
        tensor = graph.tensors[graph.operators[move].outputs[0]]
        tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    _read_instead(graph.operators, rounded, source)
    outputs = {int(output) for output in graph.outputs}
    # A file's output comes last: it keeps its tensor, and all that read the value read it there. It is named after the
    # operator that makes it now: names are how operators find their layers.
    for exit_ in sorted(island.exits, key=lambda index: int(graph.operators[index].outputs[0]) in outputs):
        operator = graph.operators[exit_]
        value, copy = int(operator.inputs[0]), int(operator.outputs[0])
        if copy in outputs:
            maker = graph.operators[edges.maker(graph, value)]
            maker.outputs = [copy if int(made) == value else int(made) for made in maker.outputs]
            graph.tensors[copy].name = graph.tensors[value].name
            value, copy = copy, value
        _read_instead(graph.operators, copy, value)
    return {island.entry, *island.exits}


def _read_instead(operators: Sequence[Any], old: int, new: int) -> None:
    for operator in operators:
        operator.inputs = [new if int(value) == old else int(value) for value in operator.inputs]


def _is_float(graph: Any, tensor: Any) -> bool:
    return graph.tensors[int(tensor)].type == schema.TensorType.FLOAT32
