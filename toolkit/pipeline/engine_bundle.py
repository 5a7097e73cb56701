"""Writes a GPT-SoVITS bundle: graphs of a kind in one file that share weights, and ``engine.json`` over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from converters.spec import Interface
from toolkit.delegates.runtime import runtime_need
from toolkit.engine.bundle import ENGINE_FILE, FORMAT
from toolkit.pipeline.artefacts import interface_facts
from toolkit.pipeline.run_directory import RunDirectory, file_sha256
from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleGraph:
    """One converted graph.

    Attributes:
        name: its name in the bundle and its signature's key, e.g. ``flow_100``.
        kind: the name without its length.
        tflite: file with this one graph.
        interface: its layouts.
        torch_names: layer name to ``<torch module>/<Op>``.
        slow_on_cpu: see `toolkit.engine.bundle.GraphFact`.
    """

    name: str
    kind: str
    tflite: bytes
    interface: Interface
    torch_names: Mapping[str, str]
    slow_on_cpu: bool = False


def file_of(kind: str) -> str:
    """File a kind of graph is in: prefill and step of the transformer share one, and their weights."""
    return "t2s.tflite" if kind.startswith("t2s_") else f"{kind}.tflite"


def write_engine_bundle(
    run: RunDirectory,
    graphs: Sequence[BundleGraph],
    facts: Mapping[str, Any],
    recipe: Recipe,
    folder: str = "bundle",
) -> dict[str, int]:
    """Writes a bundle; returns the size in bytes of each of its files.

    Args:
        run: the run directory.
        graphs: every graph.
        facts: what ``engine.json`` says besides files and graphs (see `toolkit.engine.bundle`).
        recipe: whose digest goes into every file.
        folder: where in the run.
    """
    from converters.tflite_graph.merge import merge_signatures
    from converters.tflite_graph.metadata import write_metadata
    from toolkit.models.gpt_sovits.semantic_graphs import engine_interface

    told = {graph.name: interface_facts(engine_interface(graph.interface)) for graph in graphs}
    files: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(file_of(graph.kind) for graph in graphs):
        inside = [graph for graph in graphs if file_of(graph.kind) == name]
        merged = merge_signatures([(graph.name, graph.tflite) for graph in inside])
        names = {layer: torch_name for graph in inside for layer, torch_name in graph.torch_names.items()}
        path = run.write_bytes(
            f"{folder}/{name}",
            write_metadata(
                merged,
                {
                    "recipe_sha256": recipes.sha256(recipe),
                    "signatures": {graph.name: told[graph.name] for graph in inside},
                    "torch_names": dict(sorted(names.items())),
                },
            ),
        )
        files[name] = {
            "sha256": file_sha256(path),
            "size_bytes": path.stat().st_size,
            "runtime": runtime_need(path, name).release,  # for an app that chooses its runtime; this engine has one
        }
    described = {
        graph.name: {
            "file": file_of(graph.kind),
            "signature": graph.name,
            "tensors": told[graph.name],
            **({"slow_on_cpu": True} if graph.slow_on_cpu else {}),
        }
        for graph in graphs
    }
    run.write_json(f"{folder}/{ENGINE_FILE}", {"format": FORMAT, **facts, "files": files, "graphs": described})
    return {name: fact["size_bytes"] for name, fact in files.items()}
