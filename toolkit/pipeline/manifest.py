"""``manifest.json``: sha256 of everything read and everything made, the tools, and the exact recipe."""

from __future__ import annotations

import toolkit
from toolkit.bench.machine import tool_versions
from toolkit.delegates.runtime import runtime_needs
from toolkit.pipeline.provenance import lock_sha256
from toolkit.pipeline.run_directory import MANIFEST, RunDirectory
from toolkit.pipeline.sources import Source
from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Recipe

RECIPE_FILE = "recipe.lock.yaml"
"""A run's settings, every default written out."""
_REPRODUCIBLE = ("bundle", "float32", "onnx", "keras")
"""Folders whose bytes the same command writes again; audio and measurements depend on the processor."""


def write_manifest(run: RunDirectory, source: Source, recipe: Recipe, data_sha256: str | None = None) -> None:
    """Writes the recipe with every default, then the manifest over all that is there.

    The manifest holds no time and no measurement: the same command on the same inputs writes the same bytes. What is
    measured afterwards (results.json, the report) is therefore not listed.
    """
    run.write_text(RECIPE_FILE, recipes.dump(recipe))
    run.write_json(
        MANIFEST,
        {
            "schema": 1,
            "model": {"name": source.name, "label": source.label},
            "inputs": {
                **{name: {"sha256": digest} for name, digest in sorted(source.inputs.items())},
                **({"calibration_data/manifest.jsonl": {"sha256": data_sha256}} if data_sha256 else {}),
            },
            "outputs": run.digests(_REPRODUCIBLE),
            "runtimes": {need.file: need.release for need in runtime_needs(run.path / "bundle")},
            "recipe": {"name": recipe.name, "sha256": recipes.sha256(recipe)},
            "tools": {"toolkit": toolkit.__version__, **tool_versions()},
            "lock_sha256": lock_sha256(),
        },
    )
