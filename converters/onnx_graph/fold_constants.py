"""Static shapes: Shape becomes a constant, everything that depends on constants only is computed, no-ops go.

Shape -> Gather -> Concat -> Reshape(x, .)      =>      Reshape(x, [1, 2, 96, 128])
"""

from __future__ import annotations

import numpy as np

from converters.errors import ShapeNotStatic, UnsupportedOp
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions
from converters.onnx_graph.run import graph_session

NAME = "fold_constants"
_ROUNDS = 12
_SHARED_LIMIT = 4096  # constants up to this size are compared by value when duplicates are sought
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
_DATA_DEPENDENT = {"NonZero", "Unique", "Compress", "NonMaxSuppression"}
_NEUTRAL = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Folds until nothing changes.

    Raises:
        ShapeNotStatic: a value's shape depends on data.
        UnsupportedOp: the graph draws random numbers.
    """
    del options
    changed = 0
    for _ in range(_ROUNDS):
        graph.infer()
        step = _fold_shapes(graph) + _fold_computed(graph) + remove_no_ops(graph)
        changed += step
        if not step:
            break
    graph.infer()
    _require_static(graph)
    changed += merge_duplicates(graph)
    graph.tidy()
    return PassResult(name=NAME, changed=changed)


def _fold_shapes(graph: Graph) -> int:
    count = 0
    for node in list(graph.nodes):
        if node.op not in ("Shape", "Size") or node.inputs[0] not in graph.shapes:
            continue
        shape = graph.shapes[node.inputs[0]]
        if node.op == "Size":
            value = np.asarray(int(np.prod(shape)), np.int64)
        else:
            value = np.asarray(
                shape[node.attributes.get("start", 0) : node.attributes.get("end", len(shape))], np.int64
            )
        _become_constant(graph, node, value)
        count += 1
    return count


def _become_constant(graph: Graph, node: Node, value: np.ndarray) -> None:
    output = node.output
    graph.remove(node)
    graph.constants[output] = value
    graph.shapes[output], graph.dtypes[output] = value.shape, value.dtype


def _fold_computed(graph: Graph) -> int:
    """Computes in one run every value that depends on constants only."""
    known = set(graph.constants) | {""}
    cone = []
    for node in graph.nodes:
        if node.op in _RANDOM:
            raise UnsupportedOp(
                f"{node.op} draws random numbers inside the graph",
                where=node.name,
                hint="draw the noise outside and pass it as an input",
            )
        if all(name in known for name in node.inputs) and (node.inputs or node.op not in _RANDOM):
            cone.append(node)
            known.update(node.outputs)
    if not cone:
        return 0
    inside = {id(node) for node in cone}
    wanted = [
        name
        for node in cone
        for name in node.outputs
        if name and (name in graph.outputs or any(id(c) not in inside for c in graph.consumers(name)))
    ]
    part = Graph()
    part.opset, part.nodes, part.constants, part.outputs = graph.opset, cone, graph.constants, wanted
    part.shapes, part.dtypes = graph.shapes, graph.dtypes
    session, held = graph_session(part)
    origins = {name: _parameter_name(graph, cone, name) for name in wanted}
    for name, value in zip(wanted, session.run(wanted, held), strict=True):
        array = np.asarray(value)
        graph.constants[name] = array
        graph.shapes[name], graph.dtypes[name] = array.shape, array.dtype
    graph.nodes = [node for node in graph.nodes if id(node) not in inside]
    graph.touch()
    for name, parameter in origins.items():
        if parameter and name not in graph.outputs:
            graph.replace(name, graph.add_constant(parameter, graph.constants[name]))
    return len(cone)


def _parameter_name(graph: Graph, cone: list[Node], value: str) -> str:
    """``fc.weight.T`` for a constant made by transposing ``fc.weight``; empty otherwise."""
    node = next(n for n in cone if value in n.outputs)
    source = node.inputs[0] if node.inputs else ""
    if node.op == "Transpose" and source in graph.constants and "onnx::" not in source and "/" not in source:
        return f"{source}.T"
    return ""


def remove_no_ops(graph: Graph) -> int:
    """Removes operators that return their input."""
    count = 0
    for node in list(graph.nodes):
        if not node.inputs or not _is_no_op(graph, node):
            continue
        source = node.inputs[0]
        if node.op in _NEUTRAL and graph.constant(source) is not None:
            source = node.inputs[1]
        if node.output in graph.outputs and (graph.producer(source) is None or source in graph.outputs):
            continue  # an Identity between an input and an output has to stay
        graph.replace(node.output, source)
        count += 1
    graph.tidy()
    return count


def _is_no_op(graph: Graph, node: Node) -> bool:
    shapes = graph.shapes
    source, output = node.inputs[0], node.output
    if node.op in ("Identity", "Dropout"):
        return True
    if node.op == "Cast":
        return source in graph.dtypes and graph.dtypes[source] == graph.dtypes.get(output)
    same_shape = source in shapes and shapes[source] == shapes.get(output)
    if node.op in ("Reshape", "Expand", "Flatten", "Squeeze", "Unsqueeze", "Tile"):
        return same_shape
    if node.op == "Transpose":
        perm = node.attributes.get("perm")
        return perm is not None and list(perm) == list(range(len(perm)))
    if node.op == "Concat":
        return len(node.inputs) == 1
    if node.op == "Pad":
        pads = graph.constant(node.inputs[1])
        return pads is not None and not pads.any()
    if node.op == "Slice":
        steps = graph.constant(node.inputs[4]) if len(node.inputs) > 4 else np.ones(1)
        return same_shape and steps is not None and bool((steps > 0).all())
    if node.op in _NEUTRAL:
        return _is_neutral(graph, node)
    return False


def _is_neutral(graph: Graph, node: Node) -> bool:
    left, right = node.inputs
    sides = ((right, left),) if node.op in ("Sub", "Div") else ((right, left), (left, right))
    for constant, other in sides:
        array = graph.constant(constant)
        if array is None or graph.constant(other) is not None:
            continue
        if graph.shapes.get(other, ()) == graph.shapes.get(node.output) and (array == _NEUTRAL[node.op]).all():
            return True
    return False


def merge_duplicates(graph: Graph) -> int:
    """Lets equal operators on equal inputs share one node; the first in order keeps its name."""
    count = 0
    while True:
        seen: dict[tuple[object, ...], Node] = {}
        twin: tuple[Node, Node] | None = None
        for node in graph.nodes:
            inputs = tuple(
                ("const", a.dtype.str, a.shape, a.tobytes())
                if (a := graph.constant(n)) is not None and a.size <= _SHARED_LIMIT
                else ("value", n)
                for n in node.inputs
            )
            key = (node.op, inputs, repr(sorted(node.attributes.items())), len(node.outputs))
            if key in seen and not any(o in graph.outputs for o in node.outputs):
                twin = (seen[key], node)
                break
            seen.setdefault(key, node)
        if twin is None:
            return count
        kept, dropped = twin
        for old, new in zip(dropped.outputs, kept.outputs, strict=True):
            graph.replace(old, new)
        graph.remove(dropped)
        count += 1


def _require_static(graph: Graph) -> None:
    for node in graph.nodes:
        for name in node.outputs:
            if not name or name in graph.shapes:
                continue
            data = node.op in _DATA_DEPENDENT
            raise ShapeNotStatic(
                f"the shape of the output of {node.op} "
                + ("depends on the data" if data else "stayed symbolic after the declared shapes were bound"),
                where=node.name,
                hint="replace boolean indexing by multiplication with a mask"
                if data
                else "declare every input shape as numbers and avoid sizes computed from values",
            )
