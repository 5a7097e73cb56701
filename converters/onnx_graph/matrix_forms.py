"""Operators without a TensorFlow Lite kernel, as matrix products, masks and their near relatives.

CumSum(x)                     =>   x times a triangular matrix of ones
Einsum("bhqd,bhkd->bhqk")     =>   Transpose, MatMul, Transpose
ArgMin(x)                     =>   ArgMax(-x)
ScatterND(x, fixed, fixed)    =>   x * keep + placed
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.onnx_graph.decompose import Emitter
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip

NAME = "matrix_forms"
_MAX_SUMMED = 4096  # a triangular matrix of this size takes 64 MB


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Applies every rewrite wherever it matches."""
    del options
    changed, skipped = 0, []
    for node in list(graph.nodes):
        rewrite = _REWRITES.get(node.op)
        if rewrite is None:
            continue
        if rewrite(graph, node):
            changed += 1
        else:
            skipped.append(Skip(node=node.name, reason="it has no such form with these attributes and sizes"))
    graph.tidy()
    return PassResult(name=NAME, changed=changed, skipped=tuple(skipped))


def _transpose(emit: Emitter, value: str, perm: list[int]) -> str:
    if perm == sorted(perm):
        return value
    shape = emit.graph.shapes[value]
    return emit("Transpose", value, shape=tuple(shape[axis] for axis in perm), perm=perm)


def _reshape(emit: Emitter, value: str, shape: tuple[int, ...]) -> str:
    if emit.graph.shapes[value] == shape:
        return value
    constant = emit.graph.add_constant(f"{emit.path}/shape", np.asarray(shape, np.int64))
    return emit("Reshape", value, constant, shape=shape)


def _cumulative_sum(graph: Graph, node: Node) -> bool:
    axis_constant = graph.constant(node.inputs[1])
    shape, rank = graph.shapes[node.inputs[0]], graph.rank(node.inputs[0])
    if axis_constant is None or graph.dtypes[node.inputs[0]] != np.float32:
        return False
    axis = int(axis_constant.reshape(-1)[0]) % rank
    if shape[axis] > _MAX_SUMMED:
        return False
    emit = Emitter(graph, node)
    ones = np.ones((shape[axis], shape[axis]), np.float32)
    diagonal = 1 if node.attributes.get("exclusive", 0) else 0
    # Row i of the matrix says which sums element i goes into: those at or after it, or before it when reversed.
    matrix = np.tril(ones, -diagonal) if node.attributes.get("reverse", 0) else np.triu(ones, diagonal)
    perm = [a for a in range(rank) if a != axis] + [axis]
    value = _transpose(emit, node.inputs[0], perm)
    value = emit("MatMul", value, emit.constant(matrix, "triangle"), shape=graph.shapes[value])
    emit.finish(_transpose(emit, value, [int(a) for a in np.argsort(perm)]))
    return True


def _einsum(graph: Graph, node: Node) -> bool:
    equation = node.attributes["equation"].decode().replace(" ", "")
    if len(node.inputs) != 2 or "->" not in equation or "." in equation:
        return False
    terms, result = equation.split("->")
    left, right = terms.split(",")
    if any(len(set(term)) != len(term) for term in (left, right, result)):
        return False
    sizes = dict(zip(left + right, graph.shapes[node.inputs[0]] + graph.shapes[node.inputs[1]], strict=True))
    shared = [c for c in left if c in right and c in result]
    summed = [c for c in left if c in right and c not in result]
    rows, columns = ([c for c in term if c not in other] for term, other in ((left, right), (right, left)))
    if set(rows) | set(columns) | set(shared) != set(result):
        return False  # an index summed within one operand

    def size(names: list[str]) -> int:
        return int(np.prod([sizes[c] for c in names], dtype=np.int64))

    emit = Emitter(graph, node)
    batch = tuple(sizes[c] for c in shared)
    first = _transpose(emit, node.inputs[0], [left.index(c) for c in [*shared, *rows, *summed]])
    first = _reshape(emit, first, (*batch, size(rows), size(summed)))
    second = _transpose(emit, node.inputs[1], [right.index(c) for c in [*shared, *summed, *columns]])
    second = _reshape(emit, second, (*batch, size(summed), size(columns)))
    value = emit("MatMul", first, second, shape=(*batch, size(rows), size(columns)))
    order = [*shared, *rows, *columns]
    value = _reshape(emit, value, tuple(sizes[c] for c in order))
    emit.finish(_transpose(emit, value, [order.index(c) for c in result]))
    return True


def _arg_min(graph: Graph, node: Node) -> bool:
    if node.attributes.get("select_last_index", 0) or graph.dtypes[node.inputs[0]] != np.float32:
        return False
    emit = Emitter(graph, node)
    negative = emit("Neg", node.inputs[0])
    node.op, node.inputs = "ArgMax", [negative]
    node.name = graph.new_name(f"{emit.path}/ArgMax")
    graph.touch()
    return True


def _scatter(graph: Graph, node: Node) -> bool:
    indices, updates = graph.constant(node.inputs[1]), graph.constant(node.inputs[2])
    shape = graph.shapes[node.output]
    plain = node.attributes.get("reduction", b"none") in (b"none", "none")
    if indices is None or updates is None or not plain or updates.dtype != np.float32:
        return False
    keep, placed = np.ones(shape, np.float32), np.zeros(shape, np.float32)
    position = tuple(np.moveaxis(indices, -1, 0))
    keep[position], placed[position] = 0.0, updates
    emit = Emitter(graph, node)
    value = emit("Mul", node.inputs[0], emit.constant(keep, "keep"))
    emit.finish(emit("Add", value, emit.constant(placed, "placed")) if placed.any() else value)
    return True


_REWRITES: dict[str, Callable[[Graph, Node], bool]] = {
    "CumSum": _cumulative_sum,
    "Einsum": _einsum,
    "ArgMin": _arg_min,
    "ScatterND": _scatter,
}
