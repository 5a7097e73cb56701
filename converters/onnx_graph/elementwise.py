"""Which operators work on each element alone, and how a gather of one axis passes through their operands."""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.graph import Graph, Node

UNARY = frozenset(
    [
        "Abs",
        "Ceil",
        "Cast",
        "Clip",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "Mish",
        "Neg",
        "Not",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
        "Cos",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Tanh",
        "ThresholdedRelu",
        "Gelu",
        "Celu",
        "IsNaN",
        "IsInf",
        "Sinh",
        "Cosh",
        "Tan",
        "Atan",
        "Asin",
        "Acos",
    ]
)
BINARY = frozenset(
    [
        "Add",
        "And",
        "Div",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Max",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Or",
        "PRelu",
        "Pow",
        "Sub",
        "Sum",
        "Where",
        "Xor",
    ]
)
ELEMENTWISE = UNARY | BINARY


def operands(node: Node) -> list[str]:
    """Value operands of an elementwise node; the bounds of Clip are parameters, not operands."""
    return node.inputs[:1] if node.op in UNARY else list(node.inputs)


def aligned_axis(graph: Graph, operand: str, axis: int, rank: int) -> int | None:
    """Axis of ``operand`` that meets ``axis`` of a result of ``rank`` axes; None where it broadcasts."""
    shape = graph.shapes[operand]
    own = axis - (rank - len(shape))
    return own if own >= 0 and shape[own] != 1 else None


def take_constant(array: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    """Gathers a constant at conversion time."""
    return np.take(array, indices, axis=axis)
