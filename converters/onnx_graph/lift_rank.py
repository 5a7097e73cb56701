"""One-dimensional signals become rank 4: [N, C, T] is [N, C, 1, T], Conv1d is Conv2d with a (1, k) kernel.

NNAPI and the GPU delegates take rank 4 only, and TensorFlow Lite runs a Conv1D as reshape, Conv2D, reshape. The lifted
region grows from the convolutions, pools and resizes through elementwise operators, concatenations, slices and
reductions; where it meets anything else (a Transpose in front of a matrix product, a Flatten) one border node is put.
Graph inputs and outputs inside the region are lifted too: their layout is part of the interface.
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.elementwise import BINARY, UNARY
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip

NAME = "lift_rank"
_SEEDS = frozenset(
    [
        "Conv",
        "ConvTranspose",
        "MaxPool",
        "AveragePool",
        "LpPool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "InstanceNormalization",
        "BatchNormalization",
        "Resize",
    ]
)
_REDUCTIONS = frozenset(
    ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2", "ReduceL1", "ReduceSumSquare"]
)
_FOLLOWERS = (
    UNARY
    | BINARY
    | _REDUCTIONS
    | frozenset(["Concat", "Slice", "Split", "Gather", "Pad", "Softmax", "LogSoftmax", "Tile"])
)
_AXIS = 2  # the new axis of size 1


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Lifts every region around one-dimensional convolutions."""
    del options
    lifted = _region(graph)
    if not lifted:
        return PassResult(name=NAME, changed=0)
    values = {v for node in lifted for v in (*node.inputs, *node.outputs) if _is_signal(graph, v)}
    inputs = [v for v in graph.inputs if v in values]
    inside = {v for node in lifted for v in node.outputs if v in values} | set(inputs)
    borders = _put_borders(graph, lifted, inside)
    for name in inside:
        shape = graph.shapes[name]
        graph.shapes[name] = (*shape[:_AXIS], 1, *shape[_AXIS:])
    for node in lifted:
        _lift(graph, node)
    _widen_depth_to_time(graph)
    graph.tidy()
    graph.infer()
    skipped = tuple(
        Skip(node=n.name, reason="rank 3 stays: not connected to a convolution through elementwise operators")
        for n in graph.nodes
        if n not in lifted and n.op in _SEEDS and graph.rank(n.output) == 3
    )
    return PassResult(name=NAME, changed=len(lifted), skipped=skipped, facts={"border_nodes": float(borders)})


def _is_signal(graph: Graph, value: str) -> bool:
    return bool(value) and graph.rank(value) == 3 and graph.constant(value) is None


def _region(graph: Graph) -> list[Node]:
    """Nodes to lift, in order."""
    members = {id(n): n for n in graph.nodes if n.op in _SEEDS and graph.rank(n.inputs[0]) == 3 and _is_plain(graph, n)}
    depth_to_time = {id(n): n for n in graph.nodes if "/DepthToTime/" in n.name}
    members.update(depth_to_time)
    frontier = list(members.values())
    while frontier:
        node = frontier.pop()
        neighbours = [graph.producer(v) for v in node.inputs if _is_signal(graph, v)]
        neighbours += [c for v in node.outputs if _is_signal(graph, v) for c in graph.consumers(v)]
        for other in neighbours:
            if other is not None and id(other) not in members and _can_follow(graph, other):
                members[id(other)] = other
                frontier.append(other)
    return [n for n in graph.nodes if id(n) in members]


def _is_plain(graph: Graph, node: Node) -> bool:
    """A Resize of named axes and a convolution with a computed kernel have no simple rank-4 form."""
    computed = node.op in ("Conv", "ConvTranspose") and graph.constant(node.inputs[1]) is None
    return "axes" not in node.attributes and not computed


def _can_follow(graph: Graph, node: Node) -> bool:
    if node.op not in _FOLLOWERS:
        return False
    if node.op in UNARY | BINARY:
        plain = all(graph.rank(v) in (0, 1, 3) or v in graph.constants for v in node.inputs if v)
        return plain and graph.rank(node.output) == 3
    if node.op in _REDUCTIONS:
        return graph.rank(node.inputs[0]) == 3 and graph.rank(node.output) == 3
    if node.op == "Gather":
        return graph.rank(node.inputs[0]) == 3 and graph.rank(node.output) == 3 and node.inputs[1] in graph.constants
    if node.op in ("Softmax", "LogSoftmax"):
        return graph.rank(node.output) == 3
    return all(graph.rank(v) == 3 for v in node.outputs)


def _put_borders(graph: Graph, lifted: list[Node], inside: set[str]) -> int:
    """Converts values where they cross between the lifted region and the rest."""
    members = {id(n) for n in lifted}
    count = 0
    axes: str | None = None

    def axis_constant() -> str:
        nonlocal axes
        axes = axes or graph.add_constant("lift_axis", np.asarray([_AXIS], np.int64))
        return axes

    for value in list(inside):
        outside = [c for c in graph.consumers(value) if id(c) not in members]
        if not outside:
            continue
        shape = graph.shapes[value]
        stem = _stem(graph, value)
        squeezed = ""
        for consumer in outside:
            if consumer.op == "Transpose" and list(consumer.attributes["perm"]) == [0, 2, 1]:
                _channels_last_border(graph, consumer, value, shape)
            else:
                if not squeezed:
                    first = min(outside, key=graph.nodes.index)
                    inputs = [value, axis_constant()]
                    squeezed = graph.add("Squeeze", inputs, name=f"{stem}/Squeeze", shape=shape, before=first)
                consumer.inputs = [squeezed if n == value else n for n in consumer.inputs]
            graph.touch()
            count += 1
    foreign = {v for n in lifted for v in n.inputs if _is_signal(graph, v) and v not in inside}
    for value in sorted(foreign):
        readers = [c for c in graph.consumers(value) if id(c) in members]
        first = min(readers, key=graph.nodes.index)
        shape = graph.shapes[value]
        producer = graph.producer(value)
        if producer is not None and producer.op == "Transpose" and list(producer.attributes["perm"]) == [0, 2, 1]:
            new = _channels_first_border(graph, producer, first)
        else:
            new = graph.add(
                "Unsqueeze",
                [value, axis_constant()],
                name=f"{_stem(graph, value)}/Unsqueeze",
                shape=(*shape[:_AXIS], 1, *shape[_AXIS:]),
                before=first,
            )
        for reader in readers:
            reader.inputs = [new if n == value else n for n in reader.inputs]
        graph.touch()
        count += 1
    return count


def _stem(graph: Graph, value: str) -> str:
    producer = graph.producer(value)
    return producer.name.rpartition("/")[0] if producer is not None else "forward"


def _channels_last_border(graph: Graph, transpose: Node, value: str, shape: tuple[int, ...]) -> None:
    """[N,C,1,T] -> Transpose -> [N,1,T,C] -> Squeeze -> [N,T,C]: in a channels-last layout only a view is left."""
    batch, channels, frames = shape
    wide = graph.add(
        "Transpose",
        [value],
        name=transpose.name,
        shape=(batch, 1, frames, channels),
        before=transpose,
        attributes={"perm": [0, 2, 3, 1]},
    )
    axis = graph.add_constant("border_axis", np.asarray([1], np.int64))
    transpose.op, transpose.inputs, transpose.attributes = "Squeeze", [wide, axis], {}
    transpose.name = graph.new_name(f"{transpose.name.rpartition('/')[0]}/Squeeze")


def _channels_first_border(graph: Graph, transpose: Node, before: Node) -> str:
    """[N,T,C] -> Unsqueeze -> [N,1,T,C] -> Transpose -> [N,C,1,T]."""
    batch, channels, frames = graph.shapes[transpose.output]
    path = transpose.name.rpartition("/")[0]
    axis = graph.add_constant("border_axis", np.asarray([1], np.int64))
    wide = graph.add(
        "Unsqueeze",
        [transpose.inputs[0], axis],
        name=f"{path}/Unsqueeze",
        shape=(batch, 1, frames, channels),
        before=before,
    )
    return graph.add(
        "Transpose",
        [wide],
        name=transpose.name,
        shape=(batch, channels, 1, frames),
        before=before,
        attributes={"perm": [0, 3, 1, 2]},
    )


def _wider_axis(axis: int, rank: int = 3) -> int:
    axis %= rank
    return axis + 1 if axis >= _AXIS else axis


def _lift(graph: Graph, node: Node) -> None:
    attributes = node.attributes
    if node.op in ("Conv", "ConvTranspose"):
        weight = graph.constants.get(node.inputs[1])
        if weight is not None and weight.ndim == 3:
            node.inputs[1] = graph.add_constant(node.inputs[1], weight[:, :, None, :])
    if node.op in ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"):
        for key, neutral in (("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("output_padding", 0)):
            if key in attributes:
                attributes[key] = [neutral, *attributes[key]]
        if "pads" in attributes:
            begin, end = attributes["pads"]
            attributes["pads"] = [0, begin, 0, end]
    elif node.op in ("Concat", "Split", "Gather", "Softmax", "LogSoftmax"):
        attributes["axis"] = _wider_axis(attributes.get("axis", -1 if "Softmax" in node.op else 0))
    elif node.op == "Slice":
        _replace_axes_constant(graph, node, 3, list(range(len(graph.constants[node.inputs[1]]))))
    elif node.op in _REDUCTIONS:
        if "axes" in attributes:
            attributes["axes"] = [_wider_axis(a) for a in attributes["axes"]]
        elif len(node.inputs) > 1 and node.inputs[1]:
            _replace_axes_constant(graph, node, 1, [])
    elif node.op in ("Pad", "Tile", "Resize"):
        _widen_parameters(graph, node)
    elif node.op in BINARY:
        _widen_constants(graph, node)


def _replace_axes_constant(graph: Graph, node: Node, position: int, default: list[int]) -> None:
    given = graph.constants[node.inputs[position]].tolist() if len(node.inputs) > position else default
    axes = np.asarray([_wider_axis(a) for a in given], np.int64)
    while len(node.inputs) <= position:
        node.inputs.append("")
    node.inputs[position] = graph.add_constant(f"{node.name}_axes", axes)


def _widen_parameters(graph: Graph, node: Node) -> None:
    """Adds the new axis to per-axis lists held in constant inputs."""
    positions = {"Pad": ((1, 0),), "Tile": ((1, 1),), "Resize": ((2, 1), (3, 1))}[node.op]
    for position, neutral in positions:
        if len(node.inputs) <= position or not node.inputs[position]:
            continue
        array = graph.constants[node.inputs[position]]
        if not array.size:
            continue
        halves = array.reshape(-1, 3)
        wide = np.insert(halves, _AXIS, neutral, axis=1).reshape(-1).astype(array.dtype)
        node.inputs[position] = graph.add_constant(f"{node.name}_parameters", wide)
    if node.op == "Pad" and len(node.inputs) > 3:
        axes = [_wider_axis(a) for a in graph.constants[node.inputs[3]].tolist()]
        node.inputs[3] = graph.add_constant(f"{node.name}_axes", np.asarray(axes, np.int64))


def _widen_constants(graph: Graph, node: Node) -> None:
    """Constants that broadcast against [N, C, T] get the new axis too."""
    for index, name in enumerate(node.inputs):
        array = graph.constant(name)
        if array is not None and array.ndim >= 2:
            node.inputs[index] = graph.add_constant(name, np.expand_dims(array, -2))


def _widen_depth_to_time(graph: Graph) -> None:
    """DepthToTime ends in [N, C, 1, T*s]; its inner shapes have rank 4 already."""
    for node in graph.nodes:
        if not node.name.endswith("/DepthToTime/Reshape_out") and "/DepthToTime/Reshape_out_" not in node.name:
            continue
        shape = graph.shapes[node.output]
        node.inputs[1] = graph.add_constant(f"{node.name}_shape", np.asarray(shape, np.int64))
