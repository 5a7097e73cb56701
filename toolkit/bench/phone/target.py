"""What is measured on a phone: one graph of one file, and the inputs it needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from converters.tflite_graph.read import TfliteGraph, TfliteTensor, read_tflite
from toolkit.engine.bundle import bundle_folder
from toolkit.errors import BenchError

_INDEX_TYPES = {"INT64": 8, "INT32": 4, "BOOL": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """An input whose values are not left to the tool's random numbers.

    Attributes:
        tensor: its name in the graph.
        size_bytes: of its values.
    """

    tensor: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One graph of a file.

    Attributes:
        path: the file.
        sha256: its digest.
        part: what the result calls it.
        signature: entry point; None where the file has one or none.
        names: names of the graph's inputs, in order.
        shapes: their shapes.
        zeros: those filled with zeros: a random index or length may lie outside what the graph looks up.
    """

    path: Path
    sha256: str
    part: str
    signature: str | None
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    zeros: tuple[InputFile, ...]


def targets_of(paths: list[Path]) -> tuple[Target, ...]:
    """Every graph of the files; directories stand for the .tflite files in their ``bundle`` folder or in them.

    Raises:
        BenchError: there is no file to measure, or two would have one name.
        InputError: a file is damaged.
    """
    found = [target for path in paths for file in _files(path) for target in _graphs(file)]
    names = [target.part for target in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BenchError(
            f"two graphs are called {twice[0]!r}",
            code="bench/mixed",
            where=", ".join(str(path) for path in paths),
            hint="measure one bundle at a time, or rename a file",
        )
    return tuple(found)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    inside = bundle_folder(path)
    files = sorted(inside.glob("*.tflite"))
    if not files:
        raise BenchError(
            "no .tflite file there", code="bench/nothing", where=str(inside), hint="give a file or a bundle"
        )
    return files


def _graphs(path: Path) -> list[Target]:
    graph = read_tflite(path)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    keys = [signature.key for signature in graph.signatures]
    if len(keys) < 2:
        return [_target(path, digest, path.stem, None, graph)]
    return [_target(path, digest, f"{path.stem}/{key}", key, read_tflite(path, signature=key)) for key in keys]


def _target(path: Path, digest: str, part: str, signature: str | None, graph: TfliteGraph) -> Target:
    inputs = [graph.tensors[index] for index in graph.inputs]
    return Target(
        path=path,
        sha256=digest,
        part=part,
        signature=signature,
        names=tuple(tensor.name for tensor in inputs),
        shapes=tuple(tensor.shape for tensor in inputs),
        zeros=tuple(
            InputFile(tensor=tensor.name, size_bytes=_size(tensor)) for tensor in inputs if tensor.dtype in _INDEX_TYPES
        ),
    )


def _size(tensor: TfliteTensor) -> int:
    size = _INDEX_TYPES[tensor.dtype]
    for length in tensor.shape:
        size *= length
    if size <= 0:
        raise BenchError(
            f"input {tensor.name!r} has shape {tensor.shape}",
            code="bench/wrong-inputs",
            hint="phones need static shapes: convert with fixed lengths",
        )
    return size
