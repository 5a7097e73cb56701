"""Data movement (reshapes, permutations): collapsed where it cancels, moved where it can then cancel.

Whether a chain of movements is neutral is decided by moving the numbers 0, 1, 2, … through it: exact, whatever the
chain looks like.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from converters.keras_graph.ir import Graph, Node, Operand, Value

_MOVES = frozenset({"reshape", "permute"})
_MAX_ELEMENTS = 1 << 26
_AGNOSTIC = frozenset(
    {"unary", "binary", "compare", "where", "cast", "concat", "slice", "pad", "tile", "softmax", "log_softmax", "split"}
)


def collapse_chains(graph: Graph) -> bool:
    """Replaces each chain of movements by nothing, one reshape, or one permutation, where that is exact."""
    producers, consumers = graph.producers(), graph.consumers()
    outputs = set(graph.outputs.values())
    changed = False
    for end in list(graph.nodes):
        if end.kind not in _MOVES:
            continue
        readers = consumers.get(end.output, [])
        if readers and end.output not in outputs and all(node.kind in _MOVES for node in readers):
            continue  # part of a longer chain
        chain = [end]
        while (before := producers.get(chain[0].data_inputs()[0])) is not None and before.kind in _MOVES:
            chain.insert(0, before)
        changed |= _collapse(graph, chain)
    if changed:
        graph.drop_dead()
        graph.sort()
    return changed


def _collapse(graph: Graph, chain: list[Node]) -> bool:
    source, end = chain[0].data_inputs()[0], chain[-1]
    size = int(np.prod(source.shape))
    if size > _MAX_ELEMENTS:
        return False
    moved = np.arange(size, dtype=np.int32).reshape(source.shape)
    for node in chain:
        if node.kind == "permute":
            moved = moved.transpose(node.attributes["permutation"])
        else:
            moved = moved.reshape(node.output.shape)
    flat = moved.reshape(-1)
    if np.array_equal(flat, np.arange(size, dtype=np.int32)):
        if source.shape == end.output.shape:
            graph.replace(end.output, source)
            return True
        if chain == [end] and end.kind == "reshape":
            return False
        _become(end, "reshape", source, {"shape": end.output.shape})
        return True
    if len(chain) == 1:
        return False
    permutation = _as_permutation(source.shape, flat)
    if permutation is None:
        return False
    shape = tuple(source.shape[axis] for axis in permutation)
    if shape == end.output.shape:
        _become(end, "permute", source, {"permutation": permutation})
        return True
    if len(chain) == 2:
        return False
    middle = Value(shape, source.dtype)
    position = graph.nodes.index(end)
    graph.nodes.insert(position, Node("permute", [source], [middle], {"permutation": permutation}, end.source))
    _become(end, "reshape", middle, {"shape": end.output.shape})
    return True


def _become(node: Node, kind: str, source: Value, attributes: dict[str, object]) -> None:
    node.kind, node.inputs, node.attributes = kind, [source], attributes


def _as_permutation(shape: tuple[int, ...], flat: np.ndarray) -> tuple[int, ...] | None:
    """The permutation of ``shape`` whose order is ``flat``, if there is one."""
    if len(shape) > 5:
        return None
    numbers = np.arange(flat.size, dtype=np.int32).reshape(shape)
    for permutation in itertools.permutations(range(len(shape))):
        if np.array_equal(numbers.transpose(permutation).reshape(-1), flat):
            return permutation
    return None


def sink_permutes(graph: Graph) -> bool:
    """Moves permutations behind operators that do not depend on the order of axes, when that adds none."""
    changed = False
    producers, consumers = graph.producers(), graph.consumers()
    outputs = set(graph.outputs.values())
    for node in list(graph.nodes):
        if node.kind not in _AGNOSTIC and not (node.kind == "reduce" and node.attributes["keepdims"]):
            continue
        moves = [producers.get(value) for value in node.data_inputs()]
        if not moves or any(move is None or move.kind != "permute" for move in moves):
            continue
        permutation = moves[0].attributes["permutation"]
        if any(move.attributes["permutation"] != permutation for move in moves):
            continue
        if any(value.shape != (1,) * 0 and len(value.shape) != len(permutation) for value in node.outputs):
            continue
        alone = {
            move for move in moves if move.output not in outputs and {*consumers[move.output]} == {node}
        }
        if len(alone) < len(node.outputs):
            continue
        _sink(graph, node, permutation)
        producers, consumers = graph.producers(), graph.consumers()
        changed = True
    if changed:
        graph.drop_dead()
        graph.sort()
    return changed


def _sink(graph: Graph, node: Node, permutation: tuple[int, ...]) -> None:
    producers = graph.producers()
    rank = len(permutation)
    inverse = tuple(int(axis) for axis in np.argsort(permutation))

    def unmoved(item: Operand) -> Operand:
        if isinstance(item, Value):
            return producers[item].data_inputs()[0]
        if item.ndim == 0 or item.size == 1:
            return item.reshape(())
        return item.reshape((1,) * (rank - item.ndim) + item.shape).transpose(inverse)

    node.inputs = [unmoved(item) for item in node.inputs]
    attributes = node.attributes
    if "axis" in attributes:
        attributes["axis"] = permutation[attributes["axis"]]
    if "axes" in attributes:
        attributes["axes"] = tuple(sorted(permutation[axis] for axis in attributes["axes"]))
    for name in ("begin", "end", "strides", "paddings", "repeats"):
        if name in attributes:
            attributes[name] = _reordered(attributes[name], inverse)
    if node.kind == "reduce" or node.kind in _AGNOSTIC:
        position = graph.nodes.index(node)
        for index, old in enumerate(node.outputs):
            new = Value(_reordered(old.shape, inverse), old.dtype)
            node.outputs[index] = new
            move = Node("permute", [new], [old], {"permutation": permutation}, node.source)
            graph.nodes.insert(position + 1, move)


def _reordered(items: Sequence[object], order: tuple[int, ...]) -> tuple:
    return tuple(items[axis] for axis in order)


def find_depth_to_time(graph: Graph) -> None:
    """Names the one reshape left of an upsampling by phases: ``[N, 1, T, s * C]`` to ``[N, 1, T * s, C]``."""
    for node in graph.nodes:
        if node.kind != "reshape":
            continue
        before, after = node.data_inputs()[0].shape, node.output.shape
        if len(before) != 4 or len(after) != 4 or before[:2] != after[:2] or before[1] != 1:
            continue
        if after[2] > before[2] and after[2] % before[2] == 0:
            node.kind = "depth_to_time"
            node.attributes = {"stride": after[2] // before[2]}
