"""The precisions of a GPT-SoVITS model's graphs: data, fine-tuning that can be taken up again, and what is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from converters import parity
from converters.tflite_graph.npu_forms import for_integer_npu
from converters.tflite_graph.run import tflite_runner
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.float_chain import FloatPart, reference_runner
from toolkit.pipeline.layer_comparison import ComparedLayers, compare_layers
from toolkit.recipe.schema import Compression, Part, Recipe

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel
    from toolkit.compress.run import CompressedPart
    from toolkit.models.gpt_sovits.phone_graph import PhoneGraph

_LOGITS = "logits"
LISTENING = ("ssl", "code_extractor", "style_encoder", "speaker_encoder", "bert")
"""Graphs no sentence passes through: they hear recordings and read characters, and keep the inputs they came with."""
_RANGED = frozenset({"int8", "int16x8"})
_SAME_LAYERS = {"t2s_prefill": "transformer", "t2s_step": "transformer"}
"""Kinds of graphs that are the same layers; trained apart, a file would hold them twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """A graph as it ships against torch.

    Attributes:
        report: agreement of each output, worst over all inputs.
        inputs: what was compared, for the report.
        same_choice: codes whose likeliest is torch's, of how many; ``None`` without logits.
        layers: every tensor of the file against its layer in float.
    """

    report: parity.ParityReport
    inputs: str
    same_choice: tuple[int, int] | None
    layers: ComparedLayers = field(default_factory=ComparedLayers)

    @property
    def snr_db(self) -> dict[str, float]:
        """Signal-to-noise ratio of each output; infinite when equal."""
        return {name: float(tensor.snr_db) for name, tensor in self.report.tensors.items()}


class Sentences(Protocol):
    """Sentences as inputs of graphs; see ``toolkit.models.gpt_sovits.calibration.SpokenSentences``."""

    def calibration(self, graph: PhoneGraph) -> tuple[dict[str, np.ndarray], ...]:
        """Inputs to choose ranges by and to train on."""

    def held_out(self, graph: PhoneGraph) -> Iterator[dict[str, np.ndarray]]:
        """Inputs of sentences no range and no weight has seen."""


class GraphPrecision:
    """Gives graphs the precisions of a recipe.

    Weights that were trained in one length of a graph are used in its other lengths too, and the prefill's in the step:
    they then share their bytes. Where scales were moved between layers, each length is trained by itself, for its
    scales are its own.

    Args:
        recipe: precisions and fine-tuning by part.
        speech: sentences to choose ranges by, to train on and to compare on.
        clock: told about every stage.
        resume: where unfinished fine-tuning keeps its place.
    """

    def __init__(self, recipe: Recipe, speech: Sentences, clock: StageClock, resume: Path) -> None:
        self._recipe, self._speech, self._clock, self._resume = recipe, speech, clock, resume
        self._trained: dict[str, RelayeredModel] = {}

    def give(self, graph: PhoneGraph, floats: FloatPart) -> tuple[CompressedPart, Fidelity]:
        """The graph as it ships, and what that costs.

        Raises:
            RecipeError: a rule matches nothing, or the precisions cannot stand in one file.
            AuditError: a precision was not realised.
        """
        from toolkit.compress.run import compress_part

        settings = self._recipe.part(graph.kind)
        spoken = needs_sentences(settings) and graph.kind not in LISTENING
        relayered, compress = floats.relayered, settings.compress
        layers = _SAME_LAYERS.get(graph.kind, graph.kind)
        if layers in self._trained:
            relayered = with_weights(relayered, self._trained[layers])
            compress = compress.model_copy(
                update={"sparsity": None, "finetune": compress.finetune.model_copy(update={"steps": 0})}
            )
        with self._clock.stage(f"{floats.source.key}: precision") as stage:
            calibration = self._speech.calibration(graph) if spoken else graph.probes

            def progress(step: str, done: int, total: int, note: str) -> None:
                self._clock.listener.progress(stage.name, done, total, f"{step} {note}")

            compressed = compress_part(
                relayered,
                settings.precision,
                compress,
                calibration,
                seed=self._recipe.seed,
                checkpoint_dir=self._resume / graph.name,
                on_progress=progress,
                float_file=floats.tflite if relayered is floats.relayered else None,
            )
            if _trains(compress) and _plain(compress, compressed):
                self._trained[layers] = compressed.relayered
            if self._recipe.delegate.name == "qnn":
                compressed = replace(compressed, tflite=for_integer_npu(compressed.tflite))
            lost = self._fidelity(graph, floats, compressed, spoken=spoken)
            worst = min(lost.snr_db.values())
            stage.fact = f"{len(compressed.tflite):,} bytes, {worst:.1f} dB against torch on {lost.inputs}"
            if compressed.tuned is not None:
                before, after = compressed.tuned.held_out
                kept = "kept" if compressed.tuned.kept else "not kept"
                stage.fact += f"; fine-tuning {kept}: held-out loss {before:.3g} to {after:.3g}"
        return compressed, replace(lost, layers=self._layers(graph, floats, compressed, spoken=spoken))

    def _layers(
        self, graph: PhoneGraph, floats: FloatPart, compressed: CompressedPart, *, spoken: bool
    ) -> ComparedLayers:
        inputs = next(iter(self._speech.held_out(graph))) if spoken else graph.probes[0]
        what = "1 input of a held-out sentence" if spoken else "1 random input"
        return compare_layers(floats.source.key, compressed.tflite, compressed, [inputs], what, self._clock)

    def _fidelity(self, graph: PhoneGraph, floats: FloatPart, compressed: CompressedPart, *, spoken: bool) -> Fidelity:
        if not spoken:
            pairs = zip(graph.probes, floats.reference, strict=True)
            return fidelity(compressed, pairs, f"{len(graph.probes)} random inputs")
        reference = reference_runner(floats.source)
        held_out = ((inputs, reference(inputs)) for inputs in self._speech.held_out(graph))
        return fidelity(compressed, held_out, "held-out sentences")


def needs_sentences(settings: Part) -> bool:
    """Whether ranges are chosen or weights trained, so that inputs must be those of speech."""
    asked = {settings.precision.default, *(rule.use for rule in settings.precision.rules)}
    return bool(asked & _RANGED) or _trains(settings.compress)


def with_weights(relayered: RelayeredModel, trained: RelayeredModel) -> RelayeredModel:
    """The part with the weights another length or kind of it was given; constants that hold a length stay its own.

    Layers are found by name, or by torch path where the same torch layer became another operator.
    """
    from toolkit.compress import rewire
    from toolkit.compress.torch_globs import torch_path

    model = rewire.rebuild(relayered.model, lambda layer, inputs, copy: rewire.call(copy(), inputs))
    known = {layer.name: layer.get_weights() for layer in trained.model.layers}
    by_path: dict[str, list[list[np.ndarray]]] = {}
    for layer in trained.model.layers:
        if known[layer.name]:
            by_path.setdefault(torch_path(trained.torch_names.get(layer.name, "")), []).append(known[layer.name])
    for layer in model.layers:
        own = relayered.model.get_layer(layer.name).get_weights()
        found = known.get(layer.name)
        if found is None:
            there = by_path.get(torch_path(relayered.torch_names.get(layer.name, "")), [])
            found = there[0] if len(there) == 1 else own
        same = [value.shape for value in found] == [value.shape for value in own]
        if own:
            layer.set_weights(found if same else own)
    return replace(relayered, model=model)


def fidelity(
    compressed: CompressedPart, pairs: Iterable[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]], inputs: str
) -> Fidelity:
    """Compares the file with torch's outputs.

    Args:
        compressed: the graph as it ships.
        pairs: inputs and torch's outputs.
        inputs: what they are.
    """
    run = tflite_runner(compressed.tflite, compressed.relayered.interface)
    report, same, chosen, choices = parity.ParityReport(tensors={}), 0, 0, False
    for given, expected in pairs:
        found = run(given)
        report = report.combined(parity.compare(expected, found))
        if _LOGITS in expected:
            choices = True
            agreed = same_choices(expected[_LOGITS], found[_LOGITS])
            same, chosen = same + int(agreed.sum()), chosen + len(agreed)
    return Fidelity(
        report=report,
        inputs=inputs,
        same_choice=(same, chosen) if choices else None,
    )


def same_choices(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Whether the likeliest code is the same, ``[choices] bool``.

    Args:
        expected: logits ``[1, codes]``, or of frames ``[1, codes, frames]``; frames of nothing but zeros are padding
            and do not count.
        found: likewise.
    """
    counted = expected.any(axis=1)
    return (expected.argmax(axis=1) == found.argmax(axis=1))[counted]


def _trains(compress: Compression) -> bool:
    return bool(compress.finetune.steps or compress.sparsity)


def _plain(compress: Compression, compressed: CompressedPart) -> bool:
    """Whether layers still mean what they meant in the float part; scales move only where activations are 8-bit."""
    moved = "int8" in compressed.plan.precisions() and (compress.equalise or compress.principal or compress.levels)
    return not (moved or compressed.dropped_masks)
