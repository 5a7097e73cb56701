"""Unique node names that start with the torch module path: ``dec.resblocks.0.convs.1/Conv``.

The exporter writes ``/dec/resblocks.0/convs.1/Conv``; graphs of other origin get the path of the weight they use.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions

NAME = "name_nodes"
ROOT = "forward"
"""Path of operators in the outermost ``forward``."""


def torch_path(name: str) -> str:
    """The torch module path of a node name, ``dec.conv_pre`` of ``dec.conv_pre/Conv_1``."""
    return name.rpartition("/")[0]


def scope_path(scopes: Sequence[str], known: Collection[str] = ()) -> str:
    """Module path of nested scopes, as torch writes them.

    A child of `nn.Sequential` repeats its parent's name (``stem``, ``stem.0``); a child of any other module does not.
    Both readings are tried against the ``known`` module paths.
    """
    collapsed: list[str] = []
    for scope in scopes:
        if collapsed and scope.startswith(f"{collapsed[-1]}."):
            collapsed[-1] = scope
        else:
            collapsed.append(scope)
    candidates = (".".join(collapsed), ".".join(scopes))
    return next((path for path in candidates if path in known), candidates[0]) or ROOT


def _path_of(node: Node, graph: Graph, known: Collection[str]) -> str:
    scopes = node.metadata.get("pkg.torch.onnx.name_scopes", "")
    if scopes:
        # A Python list of cumulative scopes, the innermost being the operator itself.
        parts = re.findall(r"'([^']*)'", scopes)
        return parts[-2] if len(parts) > 1 and parts[-2] else ROOT
    if node.name.startswith("/"):
        return scope_path([part for part in node.name.split("/")[1:-1] if part], known)
    if "/" in node.name:
        return torch_path(node.name)
    for name in node.inputs[1:]:
        if name in graph.constants and re.fullmatch(r"[A-Za-z_][\w.]*\.(weight\w*|bias\w*|gamma|beta)", name):
            return name.rpartition(".")[0]
    return ROOT


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Renames every node and its outputs; graph outputs keep their names."""
    del options
    return assign(graph)


def assign(graph: Graph, known: Collection[str] = ()) -> PassResult:
    """The same with the module paths of the torch model at hand, which settles ambiguous scopes."""
    taken: dict[str, int] = {}
    renamed: dict[str, str] = {}
    reserved = {*graph.inputs, *graph.outputs, *graph.constants}
    for node in graph.nodes:
        stem = f"{_path_of(node, graph, known)}/{node.op}"
        count = taken.get(stem, 0)
        taken[stem] = count + 1
        node.name = stem if count == 0 else f"{stem}_{count}"
        node.metadata = {"origin": node.name}
        for index, output in enumerate(node.outputs):
            if output and output not in graph.outputs:
                renamed[output] = f"{node.name}_output_{index}"
    collisions = reserved & set(renamed.values())
    renamed = {old: new if new not in collisions else f"{new}_value" for old, new in renamed.items()}
    for node in graph.nodes:
        node.inputs = [renamed.get(n, n) for n in node.inputs]
        node.outputs = [renamed.get(n, n) for n in node.outputs]
    graph.shapes = {renamed.get(n, n): s for n, s in graph.shapes.items()}
    graph.dtypes = {renamed.get(n, n): d for n, d in graph.dtypes.items()}
    graph.touch()
    return PassResult(name=NAME, changed=len(graph.nodes))
