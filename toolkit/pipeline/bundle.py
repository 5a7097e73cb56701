"""Writes what a run makes, and counts its bytes."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

from converters.tflite_graph.read import TfliteGraph, read_tflite
from toolkit.pipeline.run_directory import RunDirectory
from toolkit.results import PartSize, Size

_BITS = 8


def part_size(path: Path, part: str, variant: str, *, compressed: bool = True) -> PartSize:
    """Bytes of a TFLite file: constants by dtype, the whole file, and gzip-compressed where asked (20 MB a second)."""
    data = path.read_bytes()
    return PartSize(
        part=part,
        variant=variant,
        by_dtype=constant_bytes(read_tflite(data)),
        total_bytes=len(data),
        compressed_bytes=len(gzip.compress(data, compresslevel=6, mtime=0)) if compressed else None,
    )


def constant_bytes(graph: TfliteGraph) -> dict[str, int]:
    """Bytes of constants by dtype; a buffer that several tensors share counts once."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    for tensor in graph.tensors:
        if tensor.data is not None and tensor.buffer not in seen:
            seen.add(tensor.buffer)
            found[tensor.dtype.lower()] += int(tensor.data.nbytes)
    return dict(sorted(found.items()))


def plain_size(path: Path, part: str, variant: str, dtype: str) -> PartSize:
    """Bytes of a file that is not TFLite."""
    data = path.read_bytes()
    return PartSize(
        part=part,
        variant=variant,
        by_dtype={dtype: len(data)},
        total_bytes=len(data),
        compressed_bytes=len(gzip.compress(data, compresslevel=6, mtime=0)),
    )


def float32_bytes(path: Path) -> int:
    """Bytes the weights of an ONNX file take in float32."""
    import numpy as np

    from converters import frameworks

    model = frameworks.onnx().load(str(path))
    return sum(4 * int(np.prod(tensor.dims)) for tensor in model.graph.initializer)


def compressed_bytes(run: RunDirectory) -> int:
    """Bytes of everything in ``bundle/``, each file compressed with gzip."""
    files = sorted(p for p in (run.path / "bundle").rglob("*") if p.is_file())
    return sum(len(gzip.compress(p.read_bytes(), compresslevel=6, mtime=0)) for p in files)


def total_size(run: RunDirectory, parts: list[PartSize], baseline_bytes: int, limit_bytes: int | None) -> Size:
    """The whole bundle against what came in."""
    files = sorted(p for p in (run.path / "bundle").rglob("*") if p.is_file())
    return Size(
        parts=tuple(parts),
        baseline_bytes=baseline_bytes,
        total_bytes=sum(p.stat().st_size for p in files),
        limit_bytes=limit_bytes,
        includes="Everything in bundle/: " + ", ".join(p.name for p in files) + ".",
    )
