"""Inputs for a file: seeded ones where nobody brought any."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

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
    made = {}
    for name, index in sorted(_named(graph).items()):
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


def brought_inputs(graph: TfliteGraph, path: Path) -> dict[str, np.ndarray]:
    """Inputs from a file, in the graph's own types and shapes.

    Args:
        graph: the graph; inputs go by the names of its first signature, or of its tensors where it has none.
        path: an ``.npz`` with one array for each; others are left.

    Raises:
        InputError: it cannot be read, lacks an input, or has one of another shape or kind.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InputError("it holds a single array", where=str(path), hint="write it with numpy.savez")
        with archive:
            stored = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"not a readable .npz: {error}", where=str(path), hint="write it with numpy.savez") from error
    found = {}
    for name, index in sorted(_named(graph).items()):
        tensor = graph.tensors[index]
        array, wanted = stored.get(name), np.dtype(_NUMPY.get(tensor.dtype, np.void))
        has = "missing" if array is None else f"{array.dtype} {array.shape}"
        if array is None or array.shape != tensor.shape or not np.can_cast(array.dtype, wanted, "same_kind"):
            raise InputError(
                f"input {name!r} is {has}, the file takes {wanted} {tensor.shape}",
                code="input/wrong-shape",
                where=str(path),
                hint="give one array for each input, in the file's own layout (toolkit inspect lists them)",
            )
        found[name] = array.astype(wanted)
    return found


def _named(graph: TfliteGraph) -> dict[str, int]:
    return dict(graph.signatures[0].inputs) if graph.signatures else {graph.tensors[i].name: i for i in graph.inputs}
