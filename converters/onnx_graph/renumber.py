"""Names as a reader expects them, after passes have copied and replaced nodes and constants.

dec.conv/Conv_1_1, dec.conv/Conv_2     =>   dec.conv/Conv, dec.conv/Conv_1          in order of execution
dec.conv.weight_1_2                    =>   dec.conv.weight                         the parameter it was made from
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from converters.onnx_graph.graph import Graph
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "renumber"
_SUFFIX = re.compile(r"(_\d+)+$")


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Renames nodes, their values and constants; graph inputs and outputs keep their names."""
    del options
    graph.tidy()
    values = _rename_nodes(graph)
    ends = {*graph.inputs, *graph.outputs}
    used = dict.fromkeys(name for node in graph.nodes for name in node.inputs if name in graph.constants)
    used |= dict.fromkeys(name for name in graph.outputs if name in graph.constants)
    constants = _numbered([name for name in used if name not in ends], ends | set(values.values()))
    mapping = {**values, **constants}
    graph.constants = {mapping.get(name, name): graph.constants[name] for name in used}
    live = {name for node in graph.nodes for name in (*node.inputs, *node.outputs)} | ends
    graph.shapes = {mapping.get(name, name): graph.shapes[name] for name in live if name in graph.shapes}
    graph.dtypes = {mapping.get(name, name): graph.dtypes[name] for name in live if name in graph.dtypes}
    for node in graph.nodes:
        node.inputs = [mapping.get(name, name) for name in node.inputs]
        node.outputs = [mapping.get(name, name) for name in node.outputs]
    graph.touch()
    return PassResult(name=NAME, changed=sum(old != new for old, new in mapping.items()))


def _rename_nodes(graph: Graph) -> dict[str, str]:
    names = _numbered([node.name for node in graph.nodes], set())
    values = {}
    for node in graph.nodes:
        node.name = names[node.name]
        for index, output in enumerate(node.outputs):
            if output and output not in graph.outputs:
                values[output] = f"{node.name}_output_{index}"
    return values


def _numbered(names: Iterable[str], taken: set[str]) -> dict[str, str]:
    """Each name without the suffixes it collected, numbered where several share a stem."""
    result: dict[str, str] = {}
    used = set(taken)
    for name in names:
        stem = _SUFFIX.sub("", name)
        candidate, count = stem, 0
        while candidate in used:
            count += 1
            candidate = f"{stem}_{count}"
        used.add(candidate)
        result[name] = candidate
    return result
