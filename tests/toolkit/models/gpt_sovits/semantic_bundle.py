"""Converts the small model's graphs through the project's chain and writes a bundle the engine reads."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from converters.spec import Interface
from converters.tflite_graph.merge import merge_signatures
from toolkit.engine.bundle import Bundle, read_bundle
from toolkit.models.gpt_sovits.phone_graph import PhoneGraph
from toolkit.models.gpt_sovits.semantic_graphs import engine_interface, semantic_graphs
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.float_chain import FloatPart, convert_float
from toolkit.pipeline.sources import SourcePart
from toolkit.recipe.schema import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    graph: PhoneGraph
    float_part: FloatPart


def convert(model, buckets, folder: Path, *, features: bool) -> dict[str, Converted]:
    """Every graph in float32, compared with torch at every hop (100 dB, or the chain stops)."""
    return convert_graphs(semantic_graphs(model, buckets, features=features), folder)


def convert_graphs(graphs: Iterable[PhoneGraph], folder: Path) -> dict[str, Converted]:
    """Graphs in float32, by name."""
    recipe, clock = Recipe.model_validate({"schema": 1, "name": "t2s"}), StageClock(Silent())
    found = {}
    for graph in graphs:
        part = SourcePart(
            name=graph.kind, bucket=graph.bucket, model=graph.module, spec=graph.spec, probes=graph.probes,
            real_probes=len(graph.probes),
        )  # fmt: skip
        found[graph.name] = Converted(graph=graph, float_part=convert_float(part, recipe, clock, folder / "repro"))
    return found


def write_bundle(
    folder: Path, config, alphas, files: Mapping[str, tuple[bytes, Interface]], *, tell=engine_interface
) -> Bundle:
    """One file with a signature for each graph, and ``engine.json``; ``tell`` is what it says of an interface."""
    folder.mkdir(parents=True, exist_ok=True)
    content = merge_signatures([(name, flatbuffer) for name, (flatbuffer, _) in files.items()])
    (folder / "t2s.tflite").write_bytes(content)
    graphs = {}
    for name, (_, converted) in files.items():
        interface = tell(converted)
        graphs[name] = {"file": "t2s.tflite", "signature": name, "tensors": {}}
        for role, tensors in (("input", interface.spec.inputs), ("output", interface.spec.outputs)):
            for tensor in tensors:
                layout = interface.layouts[tensor.name]
                graphs[name]["tensors"][tensor.name] = {
                    "role": role,
                    "dtype": tensor.dtype,
                    "torch_shape": layout.torch_shape,
                    "expanded": layout.expanded,
                    "permutation": layout.permutation,
                }
    facts = {
        "format": 1, "label": "tiny", "version": "v2", "symbols": config.symbols, "sample_rate_hz": 32000,
        "samples_per_frame": 640, "overlap_frames": 4, "noise_scale": 0.5,
        "semantic": {
            "width": config.width, "layers": config.layers, "vocabulary": config.vocabulary,
            "stop_token": config.stop_token, "text_alpha": alphas[0], "audio_alpha": alphas[1],
        },
        "files": {"t2s.tflite": {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}},
        "graphs": graphs,
    }  # fmt: skip
    (folder / "engine.json").write_text(json.dumps(facts))
    return read_bundle(folder)
