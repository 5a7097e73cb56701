"""Keeps one copy of each buffer of a TFLite file, in the order of first use."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema


def compact(model: Any) -> None:
    """Drops buffers nothing names and merges equal ones, in place.

    Buffer 0 stays the empty one the format asks for; computed tensors share it.
    """
    kept: list[Any] = [schema.BufferT()]
    by_content: dict[tuple[int, bytes], int] = {}
    moved: dict[int, int] = {0: 0}

    def move(index: int) -> int:
        if index in moved:
            return moved[index]
        data = model.buffers[index].data
        if data is None or not len(data):
            moved[index] = 0
            return 0
        content = np.ascontiguousarray(data, np.uint8)
        key = (content.size, hashlib.sha256(content).digest())
        if key not in by_content:
            by_content[key] = len(kept)
            kept.append(model.buffers[index])
        moved[index] = by_content[key]
        return moved[index]

    for graph in model.subgraphs:
        for tensor in graph.tensors or ():
            tensor.buffer = move(int(tensor.buffer))
    for entry in model.metadata or ():
        entry.buffer = move(int(entry.buffer))
    model.buffers = kept
