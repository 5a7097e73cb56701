"""Which operators of a graph write and read a tensor."""

from __future__ import annotations

from typing import Any


def maker(graph: Any, tensor: int) -> int | None:
    """Position of the operator that writes a tensor; none does for inputs and constants."""
    return next((i for i, o in enumerate(graph.operators) if tensor in [int(value) for value in o.outputs]), None)


def readers(graph: Any, tensor: int) -> list[int]:
    """Positions of the operators that read a tensor."""
    return [index for index, operator in enumerate(graph.operators) if tensor in [int(v) for v in operator.inputs]]
