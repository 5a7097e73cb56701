"""Which file of a run holds what."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from converters.spec import Interface
from toolkit.pipeline.float_chain import FloatPart
from toolkit.pipeline.run_directory import RunDirectory
from toolkit.pipeline.shipping import Shipped, file_stem
from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Recipe

if TYPE_CHECKING:
    from toolkit.models.voice import Voice


def signature_name(name: str, bucket: int) -> str:
    """Signature of one bucket inside a bundle's file."""
    return f"{name}_{bucket}" if bucket else "serving_default"


def write_float(run: RunDirectory, part: FloatPart, *, keep_keras: bool) -> None:
    """The verified ONNX graph, the float32 TFLite file and, on request, the trainable Keras model."""
    stem = file_stem(part.source.key)
    run.write_bytes(f"onnx/{stem}.onnx", part.rewritten.model.SerializeToString(deterministic=True))
    run.write_bytes(f"float32/{stem}.tflite", part.tflite)
    if keep_keras:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "model.keras"
            part.relayered.model.save(path, save_format="keras")
            run.write_bytes(f"keras/{stem}.keras", path.read_bytes())


def write_shipped(run: RunDirectory, shipped: Sequence[Shipped], recipe: Recipe) -> None:
    """One file per part, every bucket a signature of it, with the recipe's digest and the name map inside."""
    from converters.tflite_graph.merge import merge_signatures
    from converters.tflite_graph.metadata import write_metadata

    for name in dict.fromkeys(part.name for part in shipped):
        buckets = [part for part in shipped if part.name == name]
        data = merge_signatures([(signature_name(part.name, part.bucket), part.tflite) for part in buckets])
        run.write_bytes(
            f"bundle/{name}.tflite",
            write_metadata(
                data,
                {
                    "recipe_sha256": recipes.sha256(recipe),
                    "signatures": {signature_name(p.name, p.bucket): interface_facts(p.interface) for p in buckets},
                    "torch_names": dict(sorted(buckets[0].torch_names.items())),
                },
            ),
        )


def interface_facts(interface: Interface) -> dict[str, object]:
    """Shapes in torch and in the file, per tensor."""
    roles = [(t, "input") for t in interface.spec.inputs] + [(t, "output") for t in interface.spec.outputs]
    return {
        t.name: {
            "role": role,
            "torch_shape": list(t.shape),
            "expanded": list(interface.layouts[t.name].expanded),
            "permutation": list(interface.layouts[t.name].permutation),
            "dtype": t.dtype,
            "axes": list(t.axes),
        }
        for t, role in roles
    }


def write_voice_files(run: RunDirectory, voice: Voice, recipe: Recipe) -> None:
    """What the phone's host code needs beside the graphs: duration predictor, phoneme table, sample rate."""
    from toolkit.models.voice import Buckets

    folder = run.path / "bundle"
    folder.mkdir(exist_ok=True)
    voice.write_host_files(folder, Buckets(phonemes=recipe.buckets.phonemes, frames=recipe.buckets.frames))
