"""Operators TensorFlow Lite or its delegates lack, written with those they have. One function per rewrite.

x / c                 =>   x * (1/c)              quantised kernels have MUL, not DIV
Pow(x, 2)             =>   x * x
Erf                   =>   t P(t²) / Q(t²) of the clipped argument, within 7e-7
Mish, HardSwish …     stay: they map one to one
LogSoftmax            =>   x - max, exp, sum, log
Gemm                  =>   MatMul, Add            when it is not the plain x·Wᵀ + b
LayerNormalization, InstanceNormalization, group norm: see `normalisation`
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "decompose"


class Emitter:
    """Adds the nodes of one rewrite in front of the node it replaces, all under its torch path."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph = graph
        self.node = node
        self.path = node.name.rpartition("/")[0]

    def constant(self, value: float | np.ndarray, label: str = "constant") -> str:
        """A float32 constant."""
        return self.graph.add_constant(f"{self.path}/{label}", np.asarray(value, np.float32))

    def __call__(self, op: str, *inputs: str, shape: tuple[int, ...] | None = None, **attributes: object) -> str:
        """Adds a node; the shape defaults to the broadcast of the inputs."""
        if shape is None:
            shape = np.broadcast_shapes(*(self.graph.shapes[name] for name in inputs))
        return self.graph.add(
            op, inputs, name=f"{self.path}/{op}", shape=shape, before=self.node, attributes=dict(attributes)
        )

    def finish(self, value: str) -> None:
        """Lets ``value`` take the place of the node."""
        producer = self.graph.producer(value)
        if producer is not None and not producer.metadata:
            producer.metadata = dict(self.node.metadata)
        self.graph.replace(self.node.output, value)
        self.graph.remove(self.node)


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Applies every rewrite wherever it matches."""
    del options
    changed = 0
    for node in list(graph.nodes):
        rewrite = _REWRITES.get(node.op)
        if rewrite is not None and rewrite(graph, node):
            changed += 1
    graph.tidy()
    return PassResult(name=NAME, changed=changed)


def _division(graph: Graph, node: Node) -> bool:
    divisor = graph.constant(node.inputs[1])
    if divisor is None or divisor.dtype != np.float32 or graph.constant(node.inputs[0]) is not None:
        return False
    if not np.all(np.isfinite(1.0 / divisor)):
        return False
    node.op = "Mul"
    node.name = graph.new_name(f"{node.name.rpartition('/')[0]}/Mul")
    reciprocal = (1.0 / divisor.astype(np.float64)).astype(np.float32)
    node.inputs[1] = graph.add_constant(f"{node.inputs[1]}_reciprocal", reciprocal)
    graph.touch()
    return True


def _power(graph: Graph, node: Node) -> bool:
    exponent = graph.constant(node.inputs[1])
    if exponent is None or exponent.size != 1:
        return False
    emit = Emitter(graph, node)
    base, power = node.inputs[0], float(exponent.reshape(-1)[0])
    if power == 2.0:
        emit.finish(emit("Mul", base, base))
    elif power == 3.0:
        emit.finish(emit("Mul", emit("Mul", base, base), base))
    elif power == 0.5:
        emit.finish(emit("Sqrt", base))
    else:
        return False
    return True


# erf(x) = t P(t²) / Q(t²) with t = x / 3.7 in [-1, 1]; erf(3.7) is 1 in float32. Coefficients: least largest error over
# [0, 3.7] (Lawson's iteration), 1e-7 exactly and 6.3e-7 in float32, moved by millionths until float32 gives 1 at the
# end: what GELU multiplies by large numbers is then 0 there. All are positive and moderate, so that nothing cancels and
# float16 keeps 2e-3. Neither sign nor exponential of the usual series is needed: NNAPI and XNNPACK have no SIGN,
# and each GELU of a transformer split its graph.
_ERF_LIMIT = 3.7
_ERF_P = (4.174998827, 14.43202636, 43.73866015, 69.33649037, 35.12234866)
_ERF_Q = (1.0, 8.019930241, 28.34108964, 56.51912106, 65.06979618, 7.854587325)


def _erf(graph: Graph, node: Node) -> bool:
    emit = Emitter(graph, node)
    bounds = [emit.constant(value, label) for value, label in ((-_ERF_LIMIT, "least"), (_ERF_LIMIT, "most"))]
    clipped = emit("Clip", node.inputs[0], *bounds, shape=graph.shapes[node.inputs[0]])
    t = emit("Mul", clipped, emit.constant(1.0 / _ERF_LIMIT))
    square = emit("Mul", t, t)
    above, below = (_polynomial(emit, square, coefficients) for coefficients in (_ERF_P, _ERF_Q))
    emit.finish(emit("Div", emit("Mul", t, above), below))
    return True


def _polynomial(emit: Emitter, x: str, coefficients: Sequence[float]) -> str:
    """Horner's scheme, constant term first."""
    *rest, last = coefficients
    value = emit("Mul", x, emit.constant(last))
    for place, coefficient in enumerate(reversed(rest)):
        value = emit("Mul", value, x) if place else value
        value = emit("Add", value, emit.constant(coefficient))
    return value


def _log_softmax(graph: Graph, node: Node) -> bool:
    emit = Emitter(graph, node)
    x = node.inputs[0]
    axis = int(node.attributes.get("axis", -1)) % graph.rank(x)
    reduced = tuple(1 if i == axis else s for i, s in enumerate(graph.shapes[x]))
    shifted = emit("Sub", x, emit("ReduceMax", x, shape=reduced, axes=[axis], keepdims=1))
    axes = graph.add_constant(f"{emit.path}/axes", np.asarray([axis], np.int64))
    total = emit("ReduceSum", emit("Exp", shifted), axes, shape=reduced, keepdims=1)
    emit.finish(emit("Sub", shifted, emit("Log", total)))
    return True


def _gemm(graph: Graph, node: Node) -> bool:
    attributes = node.attributes
    weight = graph.constant(node.inputs[1])
    scale, bias_scale = float(attributes.get("alpha", 1.0)), float(attributes.get("beta", 1.0))
    if weight is None or attributes.get("transA", 0):
        return False
    if scale == 1.0 and bias_scale == 1.0 and len(node.inputs) == 3 and graph.constant(node.inputs[2]) is not None:
        return False  # the plain linear layer
    emit = Emitter(graph, node)
    matrix = (weight.T if attributes.get("transB", 0) else weight) * np.float32(scale)
    value = emit(
        "MatMul",
        node.inputs[0],
        graph.add_constant(node.inputs[1], np.ascontiguousarray(matrix)),
        shape=graph.shapes[node.output],
    )
    if len(node.inputs) > 2 and node.inputs[2]:
        addend = node.inputs[2]
        if bias_scale != 1.0:
            addend = emit("Mul", addend, emit.constant(bias_scale))
        value = emit("Add", value, addend)
    emit.finish(value)
    return True


_REWRITES: dict[str, Callable[[Graph, Node], bool]] = {
    "Div": _division,
    "Pow": _power,
    "Erf": _erf,
    "LogSoftmax": _log_softmax,
    "Gemm": _gemm,
}
