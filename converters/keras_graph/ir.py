"""The graph between onnx2tf's Keras model and the rebuilt one: plain operators, constants as arrays, static shapes.

Shapes and axes are those of Keras (channels-last for signals and images). Kinds and their attributes:

    conv2d, depthwise_conv2d       inputs x; kernel [kh, kw, in, out], bias, strides, padding, dilations, groups
    conv2d_transpose               inputs x; kernel [kh, kw, out, in], bias, strides, output_shape
    dense                          inputs x; kernel [in, out], bias
    matmul                         inputs a, b; transpose_a, transpose_b
    binary                         inputs a, b (one may be a constant); function
    unary                          inputs x; function, and what the function needs
    softmax, log_softmax           axis
    reshape, permute               shape; permutation
    slice, pad, concat, split      begin/end/strides; paddings/mode/value; axis; axis/sizes
    reduce                         function, axes, keepdims
    gather                         inputs table, indices (one may be a constant); axis
    where, compare, cast, tile     inputs condition/yes/no; function; dtype; repeats
    pool                           function, size, strides, padding
    resize                         method, size, half_pixel_centers, align_corners
    layer_norm                     axes, epsilon, gamma, beta
    lstm, gru                      kernel, recurrent_kernel, bias, go_backwards
    depth_to_time                  stride
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(slots=True, eq=False)
class Value:
    """A tensor of the graph; compared by identity.

    Attributes:
        shape: static sizes.
        dtype: numpy name.
    """

    shape: tuple[int, ...]
    dtype: str


Operand = Value | np.ndarray


@dataclass(slots=True, eq=False)
class Node:
    """One operator.

    Attributes:
        kind: see the module's docstring.
        inputs: tensors and constants it reads.
        outputs: tensors it computes.
        attributes: what the kind needs.
        source: name of the ONNX node it stems from, ``<torch module path>/<Op>``.
        computes: name of the ONNX node whose output it computes, when another was merged into it.
    """

    kind: str
    inputs: list[Operand]
    outputs: list[Value]
    attributes: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    computes: str = ""

    @property
    def output(self) -> Value:
        """The only output, or the first."""
        return self.outputs[0]

    def data_inputs(self) -> list[Value]:
        """The inputs that are no constants."""
        return [item for item in self.inputs if isinstance(item, Value)]


@dataclass(slots=True, eq=False)
class Graph:
    """Operators in an order in which each comes after what it reads.

    Attributes:
        inputs: named inputs, in the order of the spec.
        outputs: named outputs, in the order of the spec.
        nodes: the operators.
    """

    inputs: dict[str, Value]
    outputs: dict[str, Value]
    nodes: list[Node]

    def producers(self) -> dict[Value, Node]:
        """The node that computes each tensor."""
        return {value: node for node in self.nodes for value in node.outputs}

    def consumers(self) -> dict[Value, list[Node]]:
        """The nodes that read each tensor; outputs of the graph are read by nobody here."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.data_inputs():
                found.setdefault(value, []).append(node)
        return found

    def replace(self, old: Value, new: Value) -> None:
        """Makes every reader of ``old``, the graph's outputs included, read ``new``."""
        for node in self.nodes:
            node.inputs = [new if item is old else item for item in node.inputs]
        self.outputs = {name: new if value is old else value for name, value in self.outputs.items()}

    def drop_dead(self) -> None:
        """Removes nodes nothing reads."""
        live = set(self.outputs.values())
        kept = []
        for node in reversed(self.nodes):
            if any(value in live for value in node.outputs):
                live.update(node.data_inputs())
                kept.append(node)
        self.nodes = kept[::-1]

    def sort(self) -> None:
        """Restores the order after nodes were inserted, keeping it as close to the present one as possible."""
        producers = self.producers()
        done: set[Node] = set()
        ordered: list[Node] = []
        for start in self.nodes:
            stack: list[tuple[Node, Iterator[Value]]] = []
            if start not in done:
                done.add(start)
                stack.append((start, iter(start.data_inputs())))
            while stack:
                node, rest = stack[-1]
                for value in rest:
                    needed = producers.get(value)
                    if needed is not None and needed not in done:
                        done.add(needed)
                        stack.append((needed, iter(needed.data_inputs())))
                        break
                else:
                    ordered.append(node)
                    stack.pop()
        self.nodes = ordered
