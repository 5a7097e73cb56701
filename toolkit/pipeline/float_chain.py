"""One part through every float hop, each compared with torch: ONNX, rewritten ONNX, Keras, trainable Keras, TFLite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import parity as parity_of
from converters.memory import blocks_given_back, release_unused_memory
from converters.onnx_graph.pass_types import RewriteOptions
from converters.onnx_graph.pipeline import RewriteResult, rewrite
from converters.onnx_graph.run import onnx_runner
from converters.onnx_graph.stored_model import StoredModel
from converters.onnx_graph.weights_size import weights_bytes
from converters.spec import Interface, Runner
from toolkit.pipeline.culprit import Culprit
from toolkit.pipeline.early_rules import check_exported
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.sources import SourcePart
from toolkit.recipe.schema import Recipe
from toolkit.results import Parity

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel
    from converters.onnx_to_keras import KerasStage


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatPart:
    """A part on every side of the chain, proven equal.

    Attributes:
        source: where it came from.
        rewritten: verified ONNX graph with its interface and what every pass did.
        relayered: trainable Keras model.
        tflite: float32 flatbuffer.
        reference: torch outputs for every probe.
        parity: one row per hop and output, worst over the probes.
    """

    source: SourcePart
    rewritten: RewriteResult
    relayered: RelayeredModel
    tflite: bytes
    reference: tuple[dict[str, np.ndarray], ...]
    parity: tuple[Parity, ...]


class _Hops:
    """Compares hops with torch and keeps the rows of the report."""

    def __init__(self, part: SourcePart, agreeing_error: float, reference: Sequence[dict[str, np.ndarray]]) -> None:
        self.part = part
        self.agreeing_error = agreeing_error
        self.reference = reference
        self.rows: list[Parity] = []

    def compare(self, before: str, hop: str, runner: Runner, limit_db: float, culprit: Culprit) -> str:
        """Raises ParityError naming the first diverging operator below the limit; returns the key number."""
        report = parity_of.ParityReport(tensors={})
        for probe, expected in zip(self.part.probes, self.reference, strict=True):
            report = report.combined(parity_of.compare(expected, runner(probe)))
        for name, tensor in report.tensors.items():
            self.rows.append(
                Parity.model_validate(
                    {
                        "part": self.part.key,
                        "from": before,
                        "to": hop,
                        "tensor": name,
                        "max_abs": tensor.max_abs,
                        "snr_db": tensor.snr_db,
                        "cosine": tensor.cosine,
                        "inputs": self._inputs(),
                        "limit_snr_db": limit_db,
                    }
                )
            )
        peak = max((t.peak for t in report.tensors.values()), default=0.0)
        culprit.explain_failure(report, hop, limit_db, self.agreeing_error * peak)
        return f"{report.worst_snr_db:.1f} dB against torch, largest difference {report.max_abs:.2g}"

    def _inputs(self) -> str:
        real = self.part.real_probes
        return f"{real} real, {len(self.part.probes) - real} random"


def reference_runner(part: SourcePart) -> Runner:
    """Torch itself, or the graph as it came when the source is an ONNX file."""
    if _is_onnx(part.model):
        return onnx_runner(part.model, Interface.torch(part.spec))
    from converters.torch_run import torch_runner

    return torch_runner(part.model, part.spec)


def _is_onnx(model: Any) -> bool:
    return type(model).__name__ == "ModelProto"


def convert_float(part: SourcePart, recipe: Recipe, clock: StageClock, repro_dir: Path) -> FloatPart:
    """Takes a part through all float hops.

    Raises:
        ParityError: a hop diverges; names the first operator by its torch name, with a reproduction in ``repro_dir``.
        UnsupportedOp: an operator has no faithful translation.
        RecipeError: a glob of the recipe can match nothing of the part.
    """
    size_bytes = _weights_bytes(part.model)
    release_unused_memory(size_bytes)  # of the part before, whose models are full of cycles
    with blocks_given_back(size_bytes):
        return _through_hops(part, recipe, clock, repro_dir)


def _through_hops(part: SourcePart, recipe: Recipe, clock: StageClock, repro_dir: Path) -> FloatPart:
    limits = recipe.parity
    culprit = Culprit(part=part, repro_dir=repro_dir)
    with clock.stage(f"{part.key}: torch to ONNX") as stage:
        runner = reference_runner(part)
        hops = _Hops(part, limits.agreeing_error, [runner(probe) for probe in part.probes])
        model = _export(part)
        check_exported(recipe, part.name, model)
        runner, nodes = onnx_runner(model, Interface.torch(part.spec)), len(model.graph.node)
        exported = StoredModel(model, leave=not _is_onnx(part.model))
        del model  # every form of a part holds all its weights; a large graph waits on disk from here on
        culprit = culprit.having(exported=exported)
        fact = hops.compare("torch", "onnx", runner, limits.onnx_db, culprit)
        del runner
        release_unused_memory(exported.size_bytes)
        stage.fact = f"{nodes} nodes, {fact}"
    with clock.stage(f"{part.key}: rewrite ONNX") as stage:
        accelerator = recipe.delegate.name if recipe.delegate.name in ("gpu", "nnapi") else "any"
        options = RewriteOptions(transposed_conv=recipe.onnx.transposed_conv, accelerator=accelerator)
        probes = list(part.probes) if recipe.onnx.check_passes else None
        rewritten = rewrite(exported.load(), part.spec, probes, options=options, repro_dir=repro_dir)
        release_unused_memory(exported.size_bytes)
        culprit = culprit.having(rewritten=rewritten)
        model = rewritten.model
        runner, nodes = onnx_runner(model, rewritten.interface), len(model.graph.node)
        del model
        fact = hops.compare("onnx", "rewritten onnx", runner, limits.onnx_db, culprit)
        # What has passed and is no longer compared with goes.
        culprit = culprit.having(exported=None)
        del exported, runner
        stage.fact = f"{nodes} nodes, {fact}"
    with clock.stage(f"{part.key}: onnx2tf to Keras") as stage:
        keras = _to_keras(rewritten)
        culprit = culprit.having(keras=keras)
        stage.fact = hops.compare(
            "rewritten onnx", "keras", _keras(keras.model, keras.interface), limits.keras_db, culprit
        )
    with clock.stage(f"{part.key}: trainable Keras") as stage:
        from converters.keras_graph.relayer import relayer

        relayered = relayer(keras)
        culprit = culprit.having(relayered=relayered, keras=None)
        del keras
        release_unused_memory(rewritten.stored.size_bytes)
        runner = _keras(relayered.model, relayered.interface)
        fact = hops.compare("keras", "trainable keras", runner, limits.relayered_db, culprit)
        del runner
        stage.fact = f"{relayered.model.count_params():,} weights back, {fact}"
    with clock.stage(f"{part.key}: float32 TFLite") as stage:
        from converters.keras_to_tflite import to_tflite
        from converters.tflite_graph.run import tflite_runner

        flatbuffer = to_tflite(relayered.model, relayered.interface)
        culprit = culprit.having(tflite=flatbuffer)
        runner = tflite_runner(flatbuffer, relayered.interface)
        fact = hops.compare("trainable keras", "tflite float32", runner, limits.tflite_db, culprit)
        del runner  # an interpreter keeps every weight a second time, packed
        release_unused_memory(len(flatbuffer))
        stage.fact = f"{len(flatbuffer):,} bytes, {fact}"
    return FloatPart(
        source=part,
        rewritten=rewritten,
        relayered=relayered,
        tflite=flatbuffer,
        reference=tuple(hops.reference),
        parity=tuple(hops.rows),
    )


def _weights_bytes(model: Any) -> int:
    if _is_onnx(model):
        return weights_bytes(model)
    return sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())


def _export(part: SourcePart) -> Any:
    if _is_onnx(part.model):
        return part.model
    from converters.torch_to_onnx import export

    return export(part.model, part.spec)


def _to_keras(rewritten: RewriteResult) -> KerasStage:
    from converters.onnx_to_keras import to_keras

    return to_keras(rewritten.model, rewritten.interface)


def _keras(model: Any, interface: Interface) -> Runner:
    from converters.keras_graph.run import keras_runner

    return keras_runner(model, interface)
