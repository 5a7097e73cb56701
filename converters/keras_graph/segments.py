"""Cuts an ONNX graph into pieces in which onnx2tf has no layout to guess.

onnx2tf moves every convolution to channels-last and infers the layout of everything else from shapes; reshapes,
transposes and matrix products behind a convolution come out wrong, silently. So it is never shown both at once:

* a *channels-last* segment holds convolutions, pools and what lies between them, all rank 4. Each tensor of ONNX shape
  ``[N, C, H, W]`` is ``[N, H, W, C]`` in Keras, without exception;
* an *absolute* segment holds everything else. Each tensor has its ONNX shape in Keras, without exception.

The transposes between segments are explicit, and cancelled later where they are neutral.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters import frameworks
from converters.errors import ShapeNotStatic, UnsupportedOp
from converters.onnx_graph.graph import MOST_SHAPE_DATA
from converters.onnx_graph.run import without_initializers

if TYPE_CHECKING:
    import onnx

CHANNELS_LAST = "channels-last"
ABSOLUTE = "absolute"

_NEEDS_CHANNELS_LAST = frozenset(
    {
        "Conv",
        "ConvTranspose",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "BatchNormalization",
        "InstanceNormalization",
        "Resize",
        "DepthToSpace",
        "SpaceToDepth",
    }
)
# Element by element, with operands that broadcast: the layout of the data does not matter to them.
_FOLLOWS_DATA = frozenset(
    {
        *("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"),
        *("Neg", "Abs", "Exp", "Log", "Sqrt", "Reciprocal", "Floor", "Ceil", "Round", "Sign", "Sin", "Cos", "Erf"),
        *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh"),
        *("Softplus", "Softsign", "Mish", "Clip", "Identity"),
        *("Concat",),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of the graph that onnx2tf converts by itself.

    Attributes:
        layout: ``CHANNELS_LAST`` or ``ABSOLUTE``.
        node_indices: indices of its nodes in the graph, in order.
        inputs: tensors it reads from outside, in order of first use.
        outputs: tensors others (or the graph's outputs) read from it.
    """

    layout: str
    node_indices: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def tensor_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Static shape of every tensor, initialisers included.

    Raises:
        ShapeNotStatic: a tensor's shape is not known.
    """
    inferred = _inferred(model)
    shapes = {item.name: tuple(item.dims) for item in model.graph.initializer}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        if not value.type.tensor_type.HasField("shape"):
            continue
        sizes = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)
        if -1 not in sizes:
            shapes.setdefault(value.name, sizes)
    for node in model.graph.node:
        for name in node.output:
            if name and name not in shapes:
                raise ShapeNotStatic(
                    f"the shape of tensor {name!r} is not static",
                    where=node.name,
                    hint="declare every input shape, batch included, and avoid ops whose output shape depends on data",
                )
    return shapes


def static_shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Sizes of a tensor of a static graph."""
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)


def node_layouts(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The layout each node is converted in.

    Raises:
        UnsupportedOp: a convolution or pool is not two-dimensional.
    """
    constants = {item.name for item in model.graph.initializer}
    tensor_layout: dict[str, str] = {}
    layouts: list[str] = []
    waiting = _inputs_wanted_channels_last(model)
    for node in model.graph.node:
        data = [name for name in node.input if name and name not in constants]
        layout = ABSOLUTE
        if node.op_type in _NEEDS_CHANNELS_LAST:
            rank = len(shapes[node.input[0]])
            if rank == 4:
                layout = CHANNELS_LAST
            elif node.op_type != "BatchNormalization" or rank > 2:
                raise UnsupportedOp(
                    f"{node.op_type} over a rank {rank} tensor",
                    where=node.name,
                    hint="run the ONNX rewrite first (1-D signals become [N, C, 1, T]); 3-D volumes have no TFLite op",
                )
        elif _may_follow(node, data, shapes):
            producers = [tensor_layout.get(name) for name in data]
            if CHANNELS_LAST in producers or (None in producers and any(name in waiting for name in data)):
                layout = CHANNELS_LAST
        layouts.append(layout)
        tensor_layout.update(dict.fromkeys(node.output, layout))
    return layouts


def _may_follow(node: onnx.NodeProto, data: list[str], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the node works element by element on rank 4 and its constants broadcast alike in both layouts."""
    if node.op_type not in _FOLLOWS_DATA or not data or any(len(shapes[name]) != 4 for name in data):
        return False
    return all(len(shapes[name]) == 4 or shapes[name] in ((), (1,)) for name in node.input if name)


def _inputs_wanted_channels_last(model: onnx.ModelProto) -> set[str]:
    """Tensors reached backwards from a convolution through element-wise nodes."""
    wanted: set[str] = set()
    for node in reversed(model.graph.node):
        if node.op_type in _NEEDS_CHANNELS_LAST:
            wanted.add(node.input[0])
        elif node.op_type in _FOLLOWS_DATA and any(name in wanted for name in node.output):
            wanted.update(node.input)
    return wanted


def cut(model: onnx.ModelProto, layouts: list[str]) -> list[Segment]:
    """Groups nodes of one layout into as few segments as an acyclic order allows."""
    level_of_tensor: dict[str, tuple[int, str]] = {}
    groups: dict[tuple[int, str], list[int]] = {}
    for index, node in enumerate(model.graph.node):
        layout = layouts[index]
        sources = [level_of_tensor[name] for name in node.input if name in level_of_tensor]
        level = max((depth + (other != layout) for depth, other in sources), default=0)
        groups.setdefault((level, layout), []).append(index)
        level_of_tensor.update(dict.fromkeys(node.output, (level, layout)))
    constants = {item.name for item in model.graph.initializer}
    graph_outputs = {value.name for value in model.graph.output}
    segments: list[Segment] = []
    for _, indices in sorted(groups.items()):
        nodes = [model.graph.node[index] for index in indices]
        inside = {name for node in nodes for name in node.output}
        read = dict.fromkeys(n for node in nodes for n in node.input if n and n not in inside and n not in constants)
        members = set(indices)
        read_outside = {
            name for index, node in enumerate(model.graph.node) if index not in members for name in node.input
        }
        produced = [name for node in nodes for name in node.output if name in read_outside or name in graph_outputs]
        segments.append(
            Segment(
                layout=layouts[indices[0]],
                node_indices=tuple(indices),
                inputs=tuple(read),
                outputs=tuple(dict.fromkeys(produced)),
            )
        )
    return segments


def extract(model: onnx.ModelProto, segment: Segment, shapes: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    """The segment as an ONNX model of its own; initialisers are copied, nodes keep their names."""
    onnx = frameworks.onnx()
    types = _element_types(model)
    nodes = [model.graph.node[index] for index in segment.node_indices]
    used = {name for node in nodes for name in node.input}

    def info(name: str) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, types[name], shapes[name])

    graph = onnx.helper.make_graph(
        nodes,
        "segment",
        [info(name) for name in segment.inputs],
        [info(name) for name in segment.outputs],
        value_info=[
            info(name)
            for node in nodes
            for name in node.output
            if name and name not in segment.outputs and name in types
        ],
    )
    found = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    # Last: a message that is put into another is copied, and these are the weights.
    found.graph.initializer.extend(item for item in model.graph.initializer if item.name in used)
    return found


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = _inferred(model).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {item.name: item.data_type for item in model.graph.initializer}


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with inferred shapes; in place of large constants it has inputs, for all it is given is copied."""
    onnx = frameworks.onnx()
    stub = without_initializers(model)
    for item in model.graph.initializer:
        if math.prod(item.dims) <= MOST_SHAPE_DATA:
            stub.graph.initializer.add().CopyFrom(item)
        else:
            stub.graph.input.append(onnx.helper.make_tensor_value_info(item.name, item.data_type, list(item.dims)))
    return onnx.shape_inference.infer_shapes(stub, data_prop=True)
