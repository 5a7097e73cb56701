"""onnx2tf's graph of function calls, rebuilt out of real Keras layers with trainable weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from converters import frameworks
from converters.errors import UnsupportedOp
from converters.keras_graph.ir import Graph, Node, Value
from converters.keras_graph.simplify import simplify
from converters.keras_graph.walk import walk
from converters.onnx_to_keras import KerasStage
from converters.spec import Interface

if TYPE_CHECKING:
    import tf_keras

_WEIGHTED = frozenset({"conv2d", "depthwise_conv2d", "conv2d_transpose", "dense", "lstm", "gru", "layer_norm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayeredModel:
    """A trainable Keras model of one part.

    Attributes:
        model: functional model; inputs and outputs in the order of the spec, layers named after ONNX nodes.
        interface: the part's interface with Keras' layouts.
        torch_names: layer name to the name of the ONNX node whose output it computes, ``<torch module path>/<Op>``.
    """

    model: tf_keras.Model
    interface: Interface
    torch_names: Mapping[str, str]


def relayer(stage: KerasStage) -> RelayeredModel:
    """Rebuilds the stage's graph as layers; exact up to the order of float additions.

    Raises:
        UnsupportedOp: an operator without a layer; ``where`` is the ONNX node, hence the torch module.
    """
    graph = walk(stage)
    simplify(graph)
    names = layer_names(graph)
    keras = frameworks.tf_keras()
    from converters.keras_graph.emit import emit

    tensors: dict[Value, Any] = {}
    inputs = []
    for name, value in graph.inputs.items():
        inputs.append(keras.Input(batch_size=value.shape[0], shape=value.shape[1:], dtype=value.dtype, name=name))
        tensors[value] = inputs[-1]
    for node in graph.nodes:
        results = emit(node, [tensors[item] for item in node.data_inputs()], names[node])
        for value, tensor in zip(node.outputs, results, strict=False):
            if tuple(tensor.shape) != value.shape:
                raise UnsupportedOp(
                    f"the layer for {node.kind!r} gives {tuple(tensor.shape)} instead of {value.shape}",
                    where=node.source,
                    hint="this is a defect of the converter: please report it with the model",
                )
            tensors[value] = tensor
    outputs = [tensors[value] for value in graph.outputs.values()]
    model = keras.Model(inputs=inputs, outputs=outputs, name=stage.interface.spec.name)
    return RelayeredModel(
        model=model,
        interface=stage.interface,
        torch_names={names[node]: node.computes or node.source or names[node] for node in graph.nodes},
    )


def layer_names(graph: Graph) -> dict[Node, str]:
    """A unique name that Keras accepts for every node: its ONNX node's, with a suffix for all but the main one.

    The main one is the node with weights, or the last.
    """
    by_source: dict[str, list[Node]] = {}
    for node in graph.nodes:
        by_source.setdefault(node.source, []).append(node)
    taken = {_legal(name) for name in graph.inputs}
    names: dict[Node, str] = {}
    for source, nodes in by_source.items():
        main = next((node for node in nodes if node.kind in _WEIGHTED), nodes[-1])
        for node in nodes:
            wanted = _legal(source) if source else node.kind
            wanted = wanted if node is main else f"{wanted}/{node.kind}"
            name, number = wanted, 2
            while name in taken:
                name, number = f"{wanted}_{number}", number + 1
            taken.add(name)
            names[node] = name
    return names


def _legal(name: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", name.lstrip("/"))
    return name if re.match(r"[A-Za-z0-9.]", name) else f"n{name}"
