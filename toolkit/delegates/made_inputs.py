"""Seeded inputs for a file nobody brought inputs for."""

from __future__ import annotations

import numpy as np

from converters.errors import InputError
from converters.tflite_graph.read import TfliteGraph

_NUMPY = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}


def made_inputs(graph: TfliteGraph, seed: int = 0) -> dict[str, np.ndarray]:
    """Normal numbers for floats, ones for masks, 0 and 1 for integers (ids that always exist), all of int8.

    Args:
        graph: the graph; inputs go by the names of its first signature, or of its tensors where it has none.
        seed: of the numbers.

    Raises:
        InputError: an input has a type that is not made.
    """
    numbers = np.random.default_rng(seed)
    named = graph.signatures[0].inputs if graph.signatures else {graph.tensors[i].name: i for i in graph.inputs}
    made = {}
    for name, index in sorted(named.items()):
        tensor = graph.tensors[index]
        if tensor.dtype not in _NUMPY:
            raise InputError(f"input {name} is {tensor.dtype}, of which none are made", hint="bring inputs")
        dtype = _NUMPY[tensor.dtype]
        if name.endswith("mask"):  # presence of frames; noise there would be multiplied in dozens of times
            made[name] = np.ones(tensor.shape, dtype)
        elif np.issubdtype(dtype, np.floating):
            made[name] = numbers.standard_normal(tensor.shape).astype(dtype)
        elif dtype is np.int8:
            made[name] = numbers.integers(-128, 128, tensor.shape).astype(dtype)
        else:
            made[name] = numbers.integers(0, 2, tensor.shape).astype(dtype)
    return made
