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
        end.source = _origin(chain)
        _become(end, "reshape", source, {"shape": end.output.shape})
        return True
    if len(chain) == 1:
        return False
    shape = end.output.shape
    trailing = _trailing_permutation(shape, flat)
    if trailing is None:
        return False
    before = tuple(shape[axis] for axis in np.argsort(trailing))
    if before == source.shape:
        _become(end, "permute", source, {"permutation": trailing})
        return True
    if [node.kind for node in chain] == ["reshape", "permute"]:
        return False
    middle = Value(before, source.dtype)
    graph.nodes.insert(graph.nodes.index(end), Node("reshape", [source], [middle], {"shape": before}, end.source))
    _become(end, "permute", middle, {"permutation": trailing})
    return True


def _origin(chain: list[Node]) -> str:
    """The last operator of the model a chain stems from; layouts of inputs and outputs are nobody's."""
    return next(
        (node.source for node in reversed(chain) if node.source.rpartition("/")[2] != "layout"), chain[-1].source
    )


def _become(node: Node, kind: str, source: Value, attributes: dict[str, object]) -> None:
    node.kind, node.inputs, node.attributes = kind, [source], attributes


def _trailing_permutation(shape: tuple[int, ...], flat: np.ndarray) -> tuple[int, ...] | None:
    """The permutation that gives ``flat`` when it comes last, after a reshape; ``None`` when no single one does."""
    if len(shape) > 5:
        return None
    moved = flat.reshape(shape)
    numbers = np.arange(flat.size, dtype=np.int32)
    candidates = itertools.permutations(range(len(shape)))
    if len(shape) == 4:  # with axes of size one several do; these two are the ones that cancel
        candidates = itertools.chain(((0, 3, 1, 2), (0, 2, 3, 1)), candidates)
    for permutation in candidates:
        if np.array_equal(moved.transpose(np.argsort(permutation)).reshape(-1), numbers):
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
        permutations = {m.attributes["permutation"] for m in moves if m is not None and m.kind == "permute"}
        if len(permutations) != 1:
            continue
        permutation = permutations.pop()
        if any(len(value.shape) != len(permutation) for value in (*node.data_inputs(), *node.outputs)):
            continue
        still = [m is None or m.kind != "permute" for m in moves]
        values = node.data_inputs()
        if any(free and not _order_free(value.shape, permutation) for free, value in zip(still, values, strict=True)):
            continue
        alone = {
            move.output
            for move, free in zip(moves, still, strict=True)
            if not free and move.output not in outputs and {*consumers[move.output]} == {node}
        }
        inverse = tuple(int(axis) for axis in np.argsort(permutation))
        cancels = all(
            value not in outputs
            and all(
                reader.kind == "permute" and reader.attributes["permutation"] == inverse
                for reader in consumers.get(value, [])
            )
            for value in node.outputs
        )
        if len(alone) < len(node.outputs) and not cancels:
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
            move = producers.get(item)
            if move is not None and move.kind == "permute":
                return move.data_inputs()[0]
            shape = _reordered(item.shape, inverse)
            flat = Value(shape, item.dtype)
            graph.nodes.insert(graph.nodes.index(node), Node("reshape", [item], [flat], {"shape": shape}, node.source))
            return flat
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


def _order_free(shape: tuple[int, ...], permutation: tuple[int, ...]) -> bool:
    """Whether undoing ``permutation`` leaves the order of the elements as it is: only unit axes move."""
    moved = [axis for axis in np.argsort(permutation) if shape[axis] != 1]
    return moved == sorted(moved)


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
