"""What the page needs of one utterance: the graphs, what Python fed them and got, and how the pieces make a sound.

The page does two things with it. It runs each recorded call again on the same input and compares; and it goes the way
from the first signal to the samples by itself (``Stage``: flow, then vocoder), each graph fed with what the browser's
own graphs gave before, and compares the sound.

    b"FLS1"  length of the header, uint32  header, JSON  arrays, each at a multiple of 8 from the header's end
    (all little-endian; an array in the header is {"dtype", "shape", "offset"})
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.spec import Layout

MAGIC = b"FLS1"
_ALIGN = 8
_DTYPES = ("float32", "int32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input or output of a graph: ``input`` or ``output``, its dtype, and how the file lays out torch's array."""

    role: str
    dtype: str
    layout: Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One graph of the bundle.

    Attributes:
        name: as the bundle calls it.
        file: name of the ``.tflite`` file.
        signature: its signature there.
        size_bytes: of the whole file, which other graphs may share.
        idle: why the page does not run it; empty when it does.
        tensors: name to fact.
    """

    name: str
    file: str
    signature: str
    size_bytes: int
    tensors: Mapping[str, Tensor] = field(repr=False)
    idle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One run of a graph in Python: inputs and outputs in torch's layout."""

    graph: str
    inputs: Mapping[str, np.ndarray] = field(repr=False)
    outputs: Mapping[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a signal through one graph: fed from frame ``start``, kept from ``first`` to before ``end``."""

    graph: str
    start: int
    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A signal ``[1, channels, frames]`` into the next one, piece by piece.

    Attributes:
        name: what it does.
        source: input that takes the signal; ``mask`` takes the presence of its frames.
        target: output that becomes the next signal.
        hop: output steps per input frame.
        pieces: in order; together they cover all frames.
    """

    name: str
    source: str
    target: str
    hop: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Utterance:
    """One sentence.

    Attributes:
        signal: ``[1, channels, frames]`` float32, what the first stage is fed.
        stages: the way to the samples.
        audio: ``[samples]`` float32, what Python made of it on the CPU.
    """

    signal: np.ndarray = field(repr=False)
    stages: tuple[Stage, ...]
    audio: np.ndarray = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spoken:
    """All the page needs.

    Attributes:
        label: the bundle.
        said: what is said, for a person to read.
        ways: what may be asked for at ``/sentence``, e.g. ``text``.
        on_python: what stays on the Python side, in a sentence, and what of the text was not read.
        sample_rate_hz: of the audio.
        graphs: every graph of the bundle.
        calls: at most one of each graph.
        constants: inputs that stay the same for the whole utterance, such as a voice's style.
        utterances: in order.
    """

    label: str
    said: str
    ways: tuple[str, ...]
    on_python: str
    sample_rate_hz: int
    graphs: tuple[Graph, ...]
    calls: tuple[Call, ...]
    constants: Mapping[str, np.ndarray] = field(repr=False)
    utterances: tuple[Utterance, ...]


def pack(spoken: Spoken, more: Mapping[str, Any]) -> bytes:
    """One block of bytes for the page; ``more`` goes into the header as it is."""
    blobs = _Blobs()
    header = {
        **more,
        "label": spoken.label,
        "said": spoken.said,
        "ways": spoken.ways,
        "on_python": spoken.on_python,
        "sample_rate_hz": spoken.sample_rate_hz,
        "graphs": [_graph(graph) for graph in spoken.graphs],
        "calls": [
            {"graph": call.graph, "inputs": blobs.keep(call.inputs), "outputs": blobs.keep(call.outputs)}
            for call in spoken.calls
        ],
        "constants": blobs.keep(spoken.constants),
        "utterances": [
            {
                **blobs.keep({"signal": utterance.signal, "audio": utterance.audio}),
                "stages": [_stage(stage) for stage in utterance.stages],
            }
            for utterance in spoken.utterances
        ],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(MAGIC) + 4 + len(text)) % _ALIGN)
    return b"".join([MAGIC, struct.pack("<I", len(text)), text, *blobs.parts])


class _Blobs:
    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._end = 0

    def keep(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {name: self._keep(array) for name, array in arrays.items()}

    def _keep(self, array: np.ndarray) -> dict[str, Any]:
        dtype = array.dtype.name
        if dtype not in _DTYPES:
            raise TypeError(f"{dtype} has no place on the page")
        data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        offset = self._end
        self.parts += [data, bytes(-len(data) % _ALIGN)]
        self._end += len(data) + -len(data) % _ALIGN
        return {"dtype": dtype, "shape": array.shape, "offset": offset}


def _graph(graph: Graph) -> dict[str, Any]:
    tensors = {
        name: {
            "role": tensor.role,
            "dtype": tensor.dtype,
            "shape": tensor.layout.torch_shape,
            "expanded": tensor.layout.expanded,
            "permutation": tensor.layout.permutation,
        }
        for name, tensor in graph.tensors.items()
    }
    return {
        "name": graph.name,
        "file": graph.file,
        "signature": graph.signature,
        "size_bytes": graph.size_bytes,
        "idle": graph.idle,
        "tensors": tensors,
    }


def _stage(stage: Stage) -> dict[str, Any]:
    pieces = [{"graph": p.graph, "start": p.start, "first": p.first, "end": p.end} for p in stage.pieces]
    return {"name": stage.name, "source": stage.source, "target": stage.target, "hop": stage.hop, "pieces": pieces}
