"""Replaces every operator of a kind by others, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from converters.errors import InputError
from converters.tflite_graph import control_edges
from converters.tflite_graph.flatbuffer import dump, load
from converters.tflite_graph.fuse_constants import kind_of

Rewrite = Callable[[Any, Any, Any], list[Any] | None]
"""File, graph and operator to the operators that stand for it; None leaves it as it is."""


def replaced_operators(content: bytes, kind: str, rewrite: Rewrite) -> tuple[bytes, int]:
    """The file with operators of a kind rewritten, and how many were; the same bytes where none were.

    Raises:
        InputError: the file is damaged, or states an order of its operators by their numbers.
    """
    model = load(content)
    if any(entry.name == control_edges.KEY for entry in model.metadata or ()):
        raise InputError("the file orders its operators by number, which a rewrite would change")
    wanted, changed = getattr(schema.BuiltinOperator, kind), 0
    for graph in model.subgraphs:
        operators: list[Any] = []
        for operator in graph.operators or ():
            new = rewrite(model, graph, operator) if kind_of(model, operator) == wanted else None
            changed += new is not None
            operators += [operator] if new is None else new
        graph.operators = operators
    return (dump(model), changed) if changed else (content, 0)
