"""Reads the functional models onnx2tf built into one graph of plain operators.

Every call in a Keras functional model is a node with its arguments; onnx2tf's models consist of calls of TensorFlow
functions (``TFOpLambda``) whose weights are arguments. The pieces are joined where one reads what another computes,
with explicit permutations between channels-last and absolute ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.keras_graph.ir import Graph, Node, Value
from converters.keras_graph.segments import CHANNELS_LAST
from converters.keras_graph.symbols import translate
from converters.onnx_to_keras import KerasStage, StagePiece

_TO_LAST = (0, 2, 3, 1)
_TO_FIRST = (0, 3, 1, 2)


def walk(stage: KerasStage) -> Graph:
    """The stage as one graph, each operator carrying the name of the ONNX node it stems from.

    Raises:
        UnsupportedOp: a TensorFlow function without a layer form; ``where`` names the ONNX node.
    """
    spec = stage.interface.spec
    inputs = {
        tensor.name: Value(stage.interface.layouts[tensor.name].target_shape, tensor.dtype) for tensor in spec.inputs
    }
    graph = Graph(inputs=inputs, outputs={}, nodes=[])
    known: dict[tuple[str, bool], Value] = {}
    for name, value in inputs.items():
        known[name, name in stage.channels_last] = value
    for piece in stage.pieces:
        last = piece.segment.layout == CHANNELS_LAST
        arguments = [_as(graph, known, name, last) for name in piece.segment.inputs]
        results = _walk_piece(graph, piece, arguments)
        for name, value in zip(piece.segment.outputs, results, strict=True):
            known[name, last and len(value.shape) == 4] = value
    for tensor in spec.outputs:
        shape = stage.interface.layouts[tensor.name].target_shape
        stored = (tensor.name, True) in known
        wanted = stored or (len(shape) == 4 and known[tensor.name, False].shape != shape)
        graph.outputs[tensor.name] = _as(graph, known, tensor.name, wanted)
    graph.drop_dead()
    return graph


def _as(graph: Graph, known: dict[tuple[str, bool], Value], name: str, last: bool) -> Value:
    """The tensor in the layout asked for, through a permutation when only the other is there."""
    there = known.get((name, last))
    if there is not None:
        return there
    other = known[name, not last]
    if len(other.shape) != 4:
        return other
    permutation = _TO_LAST if last else _TO_FIRST
    value = Value(tuple(other.shape[axis] for axis in permutation), other.dtype)
    graph.nodes.append(Node("permute", [other], [value], {"permutation": permutation}, source=f"{name}/layout"))
    known[name, last] = value
    return value


def _walk_piece(graph: Graph, piece: StagePiece, arguments: list[Value]) -> list[Value]:
    values: dict[tuple[int, int, int], Value] = {}
    for tensor, value in zip(piece.model.inputs, arguments, strict=True):
        values[_key(tensor)] = value
    sources = _sources(piece)
    for layer, index in _calls(piece.model):
        call = layer._inbound_nodes[index]
        if (id(layer), index, 0) in values:
            continue
        outputs = call.outputs if isinstance(call.outputs, (list, tuple)) else [call.outputs]
        results = [Value(tuple(int(s) for s in t.shape), t.dtype.name) for t in outputs]
        for position, result in enumerate(results):
            values[id(layer), index, position] = result
        source = sources.get((id(layer), index), "")
        resolve = _Resolver(values)
        for node in translate(layer, resolve(call.call_args), resolve(call.call_kwargs), results, source):
            node.source = source
            graph.nodes.append(node)
    return [values[_key(tensor)] for tensor in piece.model.outputs]


def _key(tensor: Any) -> tuple[int, int, int]:
    history = tensor._keras_history
    return id(history.layer), history.node_index, history.tensor_index


class _Resolver:
    """Replaces Keras tensors by graph values and TensorFlow constants by arrays, through nested arguments."""

    def __init__(self, values: dict[tuple[int, int, int], Value]) -> None:
        self.values = values

    def __call__(self, item: Any) -> Any:
        if hasattr(item, "_keras_history"):
            return self.values[_key(item)]
        if hasattr(item, "numpy") and not isinstance(item, np.ndarray):
            return item.numpy()
        if isinstance(item, tuple):
            return tuple(self(part) for part in item)
        if isinstance(item, list):
            return [self(part) for part in item]
        if isinstance(item, dict):
            return {key: self(part) for key, part in item.items()}
        return item


def _calls(model: Any) -> list[tuple[Any, int]]:
    """The calls a functional model consists of, each after those it reads (iterative: graphs are deep)."""
    done: set[tuple[int, int]] = set()
    ordered: list[tuple[Any, int]] = []
    for output in model.outputs:
        stack = [(output._keras_history.layer, output._keras_history.node_index, False)]
        while stack:
            layer, index, expanded = stack.pop()
            if expanded:
                ordered.append((layer, index))
                continue
            if (id(layer), index) in done:
                continue
            done.add((id(layer), index))
            stack.append((layer, index, True))
            for tensor in reversed(layer._inbound_nodes[index].keras_inputs):
                history = tensor._keras_history
                stack.append((history.layer, history.node_index, False))
    return ordered


def _sources(piece: StagePiece) -> dict[tuple[int, int], str]:
    """ONNX node name of every call: its own where it computes an ONNX tensor, else that of the call that reads it."""
    found: dict[tuple[int, int], str] = {}
    for name, tensor in piece.tensors.items():
        if hasattr(tensor, "_keras_history"):
            key = _key(tensor)[:2]
            found.setdefault(key, piece.nodes[name].name)
    for layer, index in reversed(_calls(piece.model)):
        source = found.get((id(layer), index))
        for tensor in layer._inbound_nodes[index].keras_inputs:
            if source is not None:
                found.setdefault(_key(tensor)[:2], source)
    return found
