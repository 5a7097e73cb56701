"""A small mutable view of an ONNX graph: nodes, numpy constants and static shapes. What every pass edits.

The protobuf classes make every edit a search; here values are names, constants are arrays and the maps from a value
to its producer and consumers are kept until the next edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.errors import UnsupportedOp
from converters.frameworks import onnx as load_onnx

MOST_SHAPE_DATA = 64  # constants up to this size may steer shapes and are kept when shapes are inferred


@dataclass(slots=True, eq=False)
class Node:
    """One operator.

    Attributes:
        op: ONNX operator type.
        inputs: value names; an empty string is an omitted optional input.
        outputs: value names.
        attributes: Python values as `onnx.helper.get_attribute_value` gives them.
        name: ``<torch module path>/<Op>``, unique.
        metadata: ``origin`` (node of the exported graph whose output this is) and ``channels`` (JSON list: which of
            its channels, in which order); used to compare graphs.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """The first output."""
        return self.outputs[0]


class Graph:
    """The nodes of a static ONNX graph in topological order.

    Attributes:
        nodes: operators, topologically sorted after `tidy`.
        constants: every initialiser and Constant node by value name.
        inputs: graph input names (initialisers excluded).
        outputs: graph output names.
        shapes: static shape of each value, as far as known.
        dtypes: numpy dtype of each value, as far as known.
        opset: version of the default operator set.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, np.dtype] = {}
        self.opset = 17
        self._producers: dict[str, Node] | None = None
        self._consumers: dict[str, list[Node]] = {}

    def copy(self) -> Graph:
        """An independent graph over the same arrays: passes replace constants and never write into them."""
        twin = Graph()
        twin.nodes = [
            Node(n.op, list(n.inputs), list(n.outputs), dict(n.attributes), n.name, dict(n.metadata))
            for n in self.nodes
        ]
        twin.constants, twin.shapes, twin.dtypes = dict(self.constants), dict(self.shapes), dict(self.dtypes)
        twin.inputs, twin.outputs, twin.opset = list(self.inputs), list(self.outputs), self.opset
        return twin

    # -- reading and writing ------------------------------------------------------------------------------------

    @classmethod
    def from_model(cls, model: Any) -> Graph:
        """Reads a ModelProto and infers shapes.

        Raises:
            UnsupportedOp: the graph has control flow or operators of a foreign domain.
        """
        onnx = load_onnx()
        graph = cls()
        graph.opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 17)
        for tensor in model.graph.initializer:
            graph.constants[tensor.name] = onnx.numpy_helper.to_array(tensor)
        for info in (*model.graph.input, *model.graph.output, *model.graph.value_info):
            graph._read_info(info)
        graph.inputs = [i.name for i in model.graph.input if i.name not in graph.constants]
        graph.outputs = [o.name for o in model.graph.output]
        for proto in model.graph.node:
            graph._read_node(proto)
        graph.infer()
        for node in graph.nodes:
            if node.op == "Transpose" and "perm" not in node.attributes and graph.rank(node.inputs[0]) >= 0:
                node.attributes["perm"] = list(range(graph.rank(node.inputs[0])))[::-1]
        return graph

    def _read_info(self, info: Any) -> None:
        onnx = load_onnx()
        kind = info.type.tensor_type
        if not info.type.HasField("tensor_type"):
            return
        if kind.elem_type:
            self.dtypes[info.name] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        dims = kind.shape.dim
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            self.shapes[info.name] = tuple(d.dim_value for d in dims)

    def _read_node(self, proto: Any) -> None:
        onnx = load_onnx()
        if proto.op_type == "Constant":
            for attribute in proto.attribute:
                value = onnx.helper.get_attribute_value(attribute)
                array = onnx.numpy_helper.to_array(value) if attribute.name == "value" else np.asarray(value)
                if attribute.name in ("value_float", "value_floats"):
                    array = array.astype(np.float32)
                self.constants[proto.output[0]] = array
            return
        if proto.domain not in ("", "ai.onnx"):
            raise UnsupportedOp(
                f"operator {proto.domain}::{proto.op_type} is not part of ONNX itself",
                where=proto.name,
                hint="export the model without custom operators",
            )
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in proto.attribute):
            raise UnsupportedOp(
                f"control flow ({proto.op_type}) has no place in a static graph",
                where=proto.name,
                hint="remove data-dependent branches and loops from forward(), or convert the branches as parts",
            )
        metadata = {p.key: p.value for p in proto.metadata_props}
        self.nodes.append(Node(proto.op_type, list(proto.input), list(proto.output), attributes, proto.name, metadata))

    def to_model(self, *, large_constants: bool = True, extra_outputs: Iterable[str] = ()) -> Any:
        """Writes a ModelProto.

        Args:
            large_constants: False declares big constants as inputs, which is enough (and cheap) to infer shapes.
            extra_outputs: inner values to expose.
        """
        onnx = load_onnx()
        helper = onnx.helper
        used = {name for node in self.nodes for name in node.inputs} | set(self.outputs)
        constants = {name: array for name, array in self.constants.items() if name in used}
        large = {name for name, a in constants.items() if not large_constants and a.size > MOST_SHAPE_DATA}
        stand_ins = [self._info(n, a.shape, a.dtype) for n, a in constants.items() if n in large]
        nodes = []
        for node in self.nodes:
            proto = helper.make_node(node.op, node.inputs, node.outputs, node.name, **node.attributes)
            for key in sorted(node.metadata):
                proto.metadata_props.add(key=key, value=node.metadata[key])
            nodes.append(proto)
        outputs = list(dict.fromkeys((*self.outputs, *extra_outputs)))
        graph = helper.make_graph(
            nodes,
            "main",
            [self._info(n, self.shapes.get(n), self.dtypes.get(n)) for n in self.inputs] + stand_ins,
            [self._info(n, self.shapes.get(n), self.dtypes.get(n)) for n in outputs],
            value_info=[
                self._info(o, self.shapes[o], self.dtypes[o])
                for node in self.nodes
                for o in node.outputs
                if o and o not in outputs and o in self.shapes and o in self.dtypes
            ],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], producer_name="converters"
        )
        model.ir_version = 10
        # Last, one by one: a message that is put into another is copied, and these are all of the model's weights.
        for name, array in constants.items():
            if name not in large:
                tensor = onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)
                model.graph.initializer.add().CopyFrom(tensor)
        return model

    @staticmethod
    def _info(name: str, shape: Sequence[int] | None, dtype: Any) -> Any:
        onnx = load_onnx()
        kind = onnx.TensorProto.UNDEFINED if dtype is None else onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return onnx.helper.make_tensor_value_info(name, kind, None if shape is None else list(shape))

    def infer(self) -> None:
        """Infers static shapes and dtypes of every value that has none."""
        onnx = load_onnx()
        self.tidy()
        model = onnx.shape_inference.infer_shapes(self.to_model(large_constants=False), data_prop=True)
        for info in (*model.graph.value_info, *model.graph.output):
            self._read_info(info)
        for name, array in self.constants.items():
            self.shapes[name], self.dtypes[name] = array.shape, array.dtype

    # -- looking ------------------------------------------------------------------------------------------------

    def _index(self) -> dict[str, Node]:
        if self._producers is None:
            self._producers, self._consumers = {}, {}
            for node in self.nodes:
                for name in node.outputs:
                    self._producers[name] = node
                for name in dict.fromkeys(node.inputs):
                    if name:
                        self._consumers.setdefault(name, []).append(node)
        return self._producers

    def producer(self, value: str) -> Node | None:
        """The node that computes ``value``; None for inputs and constants."""
        return self._index().get(value)

    def consumers(self, value: str) -> list[Node]:
        """The nodes that read ``value``, each once."""
        self._index()
        return list(self._consumers.get(value, ()))

    def only_consumer(self, value: str) -> Node | None:
        """The one node that reads ``value``, if there is one and it is no graph output."""
        consumers = self.consumers(value)
        return consumers[0] if len(consumers) == 1 and value not in self.outputs else None

    def rank(self, value: str) -> int:
        """Number of axes; -1 when unknown."""
        return len(self.shapes[value]) if value in self.shapes else -1

    def constant(self, value: str) -> np.ndarray | None:
        """The array behind ``value`` if it is constant."""
        return self.constants.get(value)

    # -- editing ------------------------------------------------------------------------------------------------

    def touch(self) -> None:
        """Forgets the producer and consumer maps; call after changing a node's inputs or outputs in place."""
        self._producers = None

    def new_name(self, base: str) -> str:
        """A node or value name that is not taken: ``base``, ``base_1`` …"""
        taken = {n.name for n in self.nodes} | self.constants.keys() | self.shapes.keys() | set(self._index())
        name, count = base, 0
        while name in taken or f"{name}_output_0" in taken:
            count += 1
            name = f"{base}_{count}"
        return name

    def add_constant(self, base: str, array: np.ndarray) -> str:
        """Adds a constant and returns its value name."""
        name = self.new_name(base)
        self.constants[name] = array
        self.shapes[name], self.dtypes[name] = array.shape, array.dtype
        return name

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        *,
        name: str,
        shape: Sequence[int],
        dtype: Any = None,
        before: Node | None = None,
        attributes: dict[str, Any] | None = None,
        metadata: dict[str, str] | None = None,
    ) -> str:
        """Adds a one-output node and returns its value name.

        Args:
            before: node to insert in front of; at the end when None (`tidy` sorts).
            dtype: defaults to the dtype of the first input.
        """
        unique = self.new_name(name)
        output = f"{unique}_output_0"
        node = Node(op, list(inputs), [output], dict(attributes or {}), unique, dict(metadata or {}))
        self.nodes.insert(len(self.nodes) if before is None else self.nodes.index(before), node)
        self.shapes[output] = tuple(int(s) for s in shape)
        self.dtypes[output] = np.dtype(dtype) if dtype is not None else self.dtypes.get(inputs[0], np.dtype(np.float32))
        self.touch()
        return output

    def replace(self, old: str, new: str) -> None:
        """Lets every reader of ``old`` read ``new``; a graph output keeps its name."""
        for node in self.nodes:
            node.inputs = [new if name == old else name for name in node.inputs]
        self.touch()
        if old not in self.outputs:
            return
        producer = self.producer(new)
        former = self.producer(old)
        if producer is None or new in self.outputs:
            if former is not None:
                former.op, former.inputs, former.outputs, former.attributes = "Identity", [new], [old], {}
            self.touch()
            return
        if former is not None:
            former.outputs = [f"{name}_former" if name == old else name for name in former.outputs]
        producer.outputs = [old if name == new else name for name in producer.outputs]
        for node in self.nodes:
            node.inputs = [old if name == new else name for name in node.inputs]
        for known in (self.shapes, self.dtypes):
            if new in known:
                known[old] = known[new]  # type: ignore[index]
        self.touch()

    def remove(self, node: Node) -> None:
        """Removes a node nobody reads any more."""
        self.nodes.remove(node)
        self.touch()

    def tidy(self) -> None:
        """Drops unread nodes and constants and sorts topologically (stable)."""
        self.touch()
        producers = self._index()
        order: list[Node] = []
        state: dict[int, int] = {}
        for output in self.outputs:
            stack: list[tuple[Node, bool]] = [(producers[output], False)] if output in producers else []
            while stack:
                node, done = stack.pop()
                if done:
                    state[id(node)] = 2
                    order.append(node)
                    continue
                if state.get(id(node)):
                    continue
                state[id(node)] = 1
                stack.append((node, True))
                stack.extend((producers[n], False) for n in reversed(node.inputs) if n in producers)
        self.nodes = order
        used = {name for node in order for name in node.inputs} | set(self.outputs)
        self.constants = {name: array for name, array in self.constants.items() if name in used}
        self.touch()
