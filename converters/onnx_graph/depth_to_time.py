"""Blocks of channels as neighbouring frames: what rewrites that compute several frames at once end with."""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.graph import Graph, Node


def depth_to_time(graph: Graph, value: str, stride: int, *, before: Node, path: str) -> str:
    """``[N, s*C, T]`` as ``[N, C, T*s]``, channels frame-major (``r*C + c``); returns the new value.

    In a channels-last layout it is a plain view: ``[N, 1, T, s*C] -> [N, 1, T*s, C]``. In ONNX it is three nodes named
    ``<path>/DepthToTime/...``; the last one takes over the metadata of ``before``, whose output it makes.
    """
    batch, channels, frames = graph.shapes[value]
    outputs = channels // stride
    for op, label, shape in (
        ("Reshape", "Reshape_in", (batch, stride, outputs, frames)),
        ("Transpose", "Transpose", (batch, outputs, frames, stride)),
        ("Reshape", "Reshape_out", (batch, outputs, frames * stride)),
    ):
        name = f"{path}/DepthToTime/{label}"
        inputs = [value] if op == "Transpose" else [value, graph.add_constant(f"{name}_shape", np.asarray(shape))]
        value = graph.add(
            op,
            inputs,
            name=name,
            shape=shape,
            before=before,
            attributes={"perm": [0, 2, 3, 1]} if op == "Transpose" else {},
            metadata=before.metadata if label == "Reshape_out" else {},
        )
    return value
