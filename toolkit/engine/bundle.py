"""``engine.json``: what a speaking bundle holds. Read without trusting it; every file is checked before it is used.

engine.json     sizes, sampling defaults, files with digests, graphs with signatures and layouts
*.tflite        one or more graphs each, as signatures, so that buckets share their weights
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.spec import Layout
from toolkit.engine.sampling import SamplingSettings
from toolkit.errors import EngineError
from toolkit.text.vocabulary import Vocabulary

ENGINE_FILE = "engine.json"
FORMAT = 1
# What a graph does; the rest of its name is its length in codes, frames or cache rows.
KINDS = (
    "t2s_prefill",
    "t2s_step",
    "nar_phones",
    "nar_frames",
    "text_encoder",
    "flow",
    "vocoder_light_stream",
    "vocoder_light",
    "vocoder_stream",
    "vocoder",
    # what listens to a recording and reads a text, where the user had the weights
    "ssl",
    "code_extractor",
    "style_encoder",
    "speaker_encoder",
    "bert",
)
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.tflite")
_MAX_JSON_BYTES = 16 << 20


def bundle_folder(path: Path) -> Path:
    """Where the bundle is: a run directory holds it in a folder of that name, any other path is one itself."""
    inside = path / "bundle"
    return inside if inside.is_dir() else path


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFact:
    """One input or output of a graph.

    Attributes:
        role: ``input`` or ``output``.
        dtype: ``float32`` or ``int32``.
        layout: how the file stores what the engine sees in torch's layout.
    """

    role: str
    dtype: str
    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape as the engine sees it."""
        return self.layout.torch_shape


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFact:
    """One graph of the bundle.

    Attributes:
        name: e.g. ``t2s_step_512``.
        kind: one of ``KINDS``.
        length: its bucket: codes, frames or cache rows.
        file: name of the file it is in.
        signature: its signature there.
        tensors: name to fact.
        slow_on_cpu: whether its activations have 16 bits, for which TensorFlow Lite has reference kernels only: made
            for an NPU, and tens of times slower on a CPU than in float.
    """

    name: str
    kind: str
    length: int
    file: str
    signature: str
    tensors: Mapping[str, TensorFact] = field(repr=False)
    slow_on_cpu: bool = False

    def stored(self, name: str, value: np.ndarray) -> np.ndarray:
        """An input as the file stores it.

        Raises:
            EngineError: its shape is not the graph's.
        """
        tensor = self.tensors[name]
        array = np.asarray(value, tensor.dtype)
        if array.shape != tensor.shape:
            raise EngineError(
                f"input {name!r} is {array.shape}, not {tensor.shape}", code="engine/graph", where=self.name
            )
        return tensor.layout.to_target(array)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFact:
    """A file of the bundle: its digest and length in bytes."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticFacts:
    """The text-to-semantic model.

    Attributes:
        width: features.
        layers: how many.
        vocabulary: width of the logits, the stop token included.
        stop_token: its id, the last one.
        text_alpha: scale of the text's positions.
        audio_alpha: scale of the tokens' positions.
        steps_min: the stop token cannot be drawn in so many first steps.
        steps_max: most tokens of a sentence.
    """

    width: int
    layers: int
    vocabulary: int
    stop_token: int
    text_alpha: float
    audio_alpha: float
    steps_min: int = 11
    steps_max: int = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A speaking bundle.

    Attributes:
        folder: where it is.
        label: what it is, for messages.
        version: version of GPT-SoVITS, e.g. ``v2``.
        contents: ``speech``, or ``codes``: text to semantic codes only, without the graphs that make sound of them.
        ssl_convolutions: kernel and stride of each convolution HuBERT begins with; empty where there is no HuBERT.
        vocabulary: characters BERT reads; ``None`` where there is no BERT.
        model_sha256: digest of the checkpoint that styles (``ge``) belong to; empty when not recorded.
        style_sha256: digest of the style (``ge``) folded into the graphs; empty when they take it as an input.
        symbols: number of phone ids.
        sample_rate_hz: rate of the audio.
        samples_per_frame: audio samples per frame of the flow; two frames are one code.
        overlap_frames: context a streamed chunk needs on either side.
        noise_scale: default width of the noise.
        semantic: the text-to-semantic model.
        sampling: default settings.
        files: name to digest and size.
        graphs: name to graph.
    """

    folder: Path
    label: str
    version: str
    model_sha256: str
    style_sha256: str
    symbols: int
    sample_rate_hz: int
    samples_per_frame: int
    overlap_frames: int
    noise_scale: float
    semantic: SemanticFacts
    sampling: SamplingSettings
    files: Mapping[str, FileFact] = field(repr=False)
    graphs: Mapping[str, GraphFact] = field(repr=False)
    contents: str = "speech"
    vocabulary: Vocabulary | None = field(default=None, repr=False)
    ssl_convolutions: tuple[tuple[int, int], ...] = ()

    def of_kind(self, kind: str) -> tuple[GraphFact, ...]:
        """Graphs of a kind, the shortest bucket first."""
        return tuple(sorted((g for g in self.graphs.values() if g.kind == kind), key=lambda graph: graph.length))

    def checked_file(self, name: str) -> Path:
        """Path of a file whose bytes are those the bundle was written with.

        Raises:
            EngineError: it is missing, or its size or digest differs.
        """
        path, fact = self.folder / name, self.files[name]
        if not path.is_file():
            raise EngineError(
                "the file is missing", code="engine/bundle", where=str(path), hint="copy the whole bundle"
            )
        digest = hashlib.sha256()
        if path.stat().st_size == fact.size_bytes:
            with path.open("rb") as file:
                for block in iter(lambda: file.read(1 << 20), b""):
                    digest.update(block)
        if digest.hexdigest() != fact.sha256:
            raise EngineError(
                "not the file this bundle was written with: its digest differs",
                code="engine/bundle",
                where=str(path),
                hint="copy the bundle again",
            )
        return path


def is_bundle(folder: Path) -> bool:
    """Whether the folder is a bundle this engine speaks with."""
    return (folder / ENGINE_FILE).is_file()


def read_bundle(folder: Path) -> Bundle:
    """Reads ``engine.json``.

    Raises:
        EngineError: it is missing, damaged, of another format, or names graphs that cannot be.
    """
    path = folder / ENGINE_FILE
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise EngineError(f"larger than {_MAX_JSON_BYTES:,} bytes", code="engine/bundle", where=str(path))
        facts = json.loads(path.read_bytes())
        if facts["format"] != FORMAT:
            raise EngineError(
                f"format {facts['format']!r}, this engine reads {FORMAT}",
                code="engine/bundle",
                where=str(path),
                hint="convert again with this toolkit, or update it",
            )
        return _bundle(folder, facts)
    except OSError as error:
        raise EngineError(
            "not a speaking bundle: no engine.json",
            code="engine/bundle",
            where=str(folder),
            hint="give the bundle folder of a run",
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise EngineError(
            f"engine.json is damaged: {what}", code="engine/bundle", where=str(path), hint="copy the bundle again"
        ) from error


def _bundle(folder: Path, facts: Mapping[str, Any]) -> Bundle:
    files = {
        _file_name(name): FileFact(sha256=str(fact["sha256"]), size_bytes=int(fact["size_bytes"]))
        for name, fact in facts["files"].items()
    }
    graphs = {name: _graph(name, fact, files) for name, fact in facts["graphs"].items()}
    semantic = SemanticFacts(**facts["semantic"])
    if semantic.width <= 0 or semantic.width % 2 or semantic.layers <= 0:
        raise ValueError(f"semantic: width {semantic.width}, {semantic.layers} layers")
    if semantic.stop_token != semantic.vocabulary - 1:
        raise ValueError(f"semantic: stop token {semantic.stop_token} is not the last of {semantic.vocabulary}")
    return Bundle(
        folder=folder,
        label=str(facts["label"]),
        version=str(facts["version"]),
        model_sha256=str(facts.get("model_sha256", "")),
        style_sha256=str(facts.get("style_sha256", "")),
        symbols=_positive(facts, "symbols"),
        sample_rate_hz=_positive(facts, "sample_rate_hz"),
        samples_per_frame=_positive(facts, "samples_per_frame"),
        overlap_frames=int(facts["overlap_frames"]),
        noise_scale=float(facts["noise_scale"]),
        semantic=semantic,
        sampling=SamplingSettings(**facts.get("sampling", {})),
        files=files,
        graphs=graphs,
        contents=_contents(facts),
        vocabulary=_vocabulary(facts.get("vocabulary")),
        ssl_convolutions=_convolutions(facts.get("ssl_convolutions", [])),
    )


def _convolutions(fact: Any) -> tuple[tuple[int, int], ...]:
    found = tuple((int(kernel), int(stride)) for kernel, stride in fact)
    if any(kernel <= 0 or stride <= 0 for kernel, stride in found):
        raise ValueError(f"ssl_convolutions is {found}")
    return found


def _vocabulary(fact: Mapping[str, Any] | None) -> Vocabulary | None:
    if fact is None:
        return None
    numbers = [int(fact[name]) for name in ("unknown", "begin", "end")]
    # One text of characters and a list of ids beside it: a tenth of a dictionary's length.
    ids = dict(zip(str(fact["characters"]), (int(number) for number in fact["ids"]), strict=True))
    if min(*numbers, *ids.values(), 0) < 0:
        raise ValueError("vocabulary: an id below 0")
    return Vocabulary(ids=ids, unknown=numbers[0], begin=numbers[1], end=numbers[2])


def _contents(facts: Mapping[str, Any]) -> str:
    found = facts.get("contents", "speech")
    if found not in ("speech", "codes"):
        raise ValueError(f"contents is {found!r}")
    return found


def _file_name(name: str) -> str:
    if _FILE_NAME.fullmatch(name) is None:
        raise ValueError(f"not a file name: {name!r}")  # a path could leave the bundle
    return name


def _positive(facts: Mapping[str, Any], name: str) -> int:
    value = facts[name]
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"{name} is {value!r}")
    return value


def _graph(name: str, fact: Mapping[str, Any], files: Mapping[str, FileFact]) -> GraphFact:
    kind, _, length = name.rpartition("_")
    if kind not in KINDS or not length.isdecimal() or int(length) <= 0:
        raise ValueError(f"no graph is called {name!r}")
    if fact["file"] not in files:
        raise ValueError(f"graph {name}: {fact['file']!r} is not among the files")
    tensors = {key: _tensor(f"{name}.{key}", value) for key, value in fact["tensors"].items()}
    return GraphFact(
        name=name,
        kind=kind,
        length=int(length),
        file=fact["file"],
        signature=str(fact["signature"]),
        tensors=tensors,
        slow_on_cpu=bool(fact.get("slow_on_cpu", False)),
    )


def _tensor(name: str, fact: Mapping[str, Any]) -> TensorFact:
    layout = Layout(tuple(fact["torch_shape"]), tuple(fact["expanded"]), tuple(fact["permutation"]))
    sizes = (*layout.torch_shape, *layout.expanded)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"{name}: sizes {sizes}")
    if sorted(layout.permutation) != list(range(len(layout.expanded))):
        raise ValueError(f"{name}: permutation {layout.permutation}")
    if math.prod(layout.torch_shape) != math.prod(layout.expanded):
        raise ValueError(f"{name}: {layout.torch_shape} is not {layout.expanded}")
    if fact["role"] not in ("input", "output") or fact["dtype"] not in ("float32", "int32"):
        raise ValueError(f"{name}: {fact['role']} of {fact['dtype']}")
    return TensorFact(role=fact["role"], dtype=fact["dtype"], layout=layout)
