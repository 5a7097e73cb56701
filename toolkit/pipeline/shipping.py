"""From verified float parts to what ships: precision, sparsity, fine-tuning, audit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from converters.errors import ToolError
from converters.spec import Interface
from converters.tflite_graph.npu_forms import for_integer_npu
from toolkit.data import Manifest, Sentence
from toolkit.delegates.runtime import check_runtime
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.float_chain import FloatPart
from toolkit.pipeline.layer_comparison import ComparedLayers, compare_layers
from toolkit.pipeline.parts import calibration_inputs, judged_inputs
from toolkit.pipeline.reuse import Reuse, shipped_digest
from toolkit.pipeline.sources import Source
from toolkit.recipe.load import builtin_names, load
from toolkit.recipe.schema import Recipe
from toolkit.results import PrecisionOp, Sparsity, Tried

if TYPE_CHECKING:
    from toolkit.compress.other_lengths import OneLength

_CALIBRATION_SENTENCES = 16
_TRIED_ON = "en_US-joe-medium"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """One part as it ships.

    Attributes:
        name: part name.
        bucket: static length; 0 without buckets.
        tflite: single-signature flatbuffer.
        interface: its layouts.
        torch_names: layer name to ``<torch module>/<Op>``.
        audit: asked against realised precision of every operator, read back from the flatbuffer.
        sparsity: share of zeros per pruned weight.
        tried: configurations that were tried for this part.
        matched: precision rule to the torch names it matched.
        compared: every tensor against its layer in float.
    """

    name: str
    bucket: int
    tflite: bytes
    interface: Interface
    torch_names: dict[str, str]
    audit: tuple[PrecisionOp, ...]
    sparsity: tuple[Sparsity, ...] = ()
    tried: tuple[Tried, ...] = ()
    matched: dict[str, tuple[str, ...]] = field(default_factory=dict)
    compared: ComparedLayers = field(default_factory=ComparedLayers)

    @property
    def key(self) -> str:
        """``name`` or ``name@bucket``."""
        return f"{self.name}@{self.bucket}" if self.bucket else self.name

    @property
    def slow_on_cpu(self) -> bool:
        """Whether it has 16-bit activations, for which TensorFlow Lite has reference kernels only."""
        return any(row.realised == "int16x8" for row in self.audit)


def ship(
    floats: Sequence[FloatPart],
    source: Source,
    recipe: Recipe,
    manifest: Manifest | None,
    clock: StageClock,
    resume: Path,
    reuse: Reuse | None = None,
) -> list[Shipped]:
    """Compresses every part as the recipe says, in the order of ``floats``; what ``reuse`` has is not made again.

    Of a part with several lengths the longest goes first, and the others take its 8-bit weights and scales.

    Raises:
        RecipeError: a rule matches nothing, or asks for what cannot be realised.
        AuditError: the flatbuffer does not have the precision that was asked for.
        DelegateError: the runtime the recipe asks for is too old for a part.
    """
    reuse = reuse or Reuse()
    calibration = manifest.sha256 if manifest else ""
    lengths = Counter(part.source.name for part in floats)
    names = list(lengths)
    longest: dict[str, tuple[str, OneLength]] = {}
    made: dict[str, Shipped] = {}
    for part in sorted(floats, key=lambda part: (names.index(part.source.name), -part.source.bucket)):
        name = part.source.name
        digest, first = longest.get(name, ("", None))
        digest += shipped_digest(part.source, recipe, calibration)

        def make(
            part: FloatPart = part, first: OneLength | None = first, *, keep: bool = lengths[name] > 1
        ) -> tuple[Shipped, OneLength | None]:
            try:
                shipped, length = _ship(part, source, recipe, manifest, clock, resume, first)
            except ToolError as error:
                error.part = part.source.name  # an error says which part it is of
                raise
            return shipped, length if keep and first is None and length.shares else None

        made[part.source.key], length = reuse.shipped(digest, make)
        if length is not None:
            longest.setdefault(name, (digest, length))
    return [made[part.source.key] for part in floats]


def calibration_sentences(manifest: Manifest | None) -> tuple[Sentence, ...]:
    """Sentences ranges are chosen by; none for what is no voice."""
    return manifest.split("calibration")[:_CALIBRATION_SENTENCES] if manifest else ()


def _ship(
    part: FloatPart,
    source: Source,
    recipe: Recipe,
    manifest: Manifest | None,
    clock: StageClock,
    resume: Path,
    first: OneLength | None,
) -> tuple[Shipped, OneLength]:
    from toolkit.compress.other_lengths import OneLength, compress_like
    from toolkit.compress.run import compress_part

    key = part.source.key
    settings = recipe.part(part.source.name)
    with clock.stage(f"{key}: precision and fine-tuning") as stage:

        def progress(step: str, done: int, total: int, note: str) -> None:
            clock.listener.progress(stage.name, done, total, f"{step} {note}")

        compressed, shared = compress_like(part.relayered, first, part.source.probes) if first else (None, "")
        if compressed is None:
            compressed = compress_part(
                part.relayered,
                settings.precision,
                settings.compress,
                calibration_inputs(source, part.source, calibration_sentences(manifest), recipe.seed),
                seed=recipe.seed,
                checkpoint_dir=resume / file_stem(key),
                on_progress=progress,
                float_file=part.tflite,
            )
        content = compressed.tflite
        if recipe.delegate.name == "qnn":
            content = for_integer_npu(content)
        check_runtime(content, key, recipe.delegate.runtime)
        kinds = Counter(row.realised for row in compressed.audit.rows)
        stage.fact = f"{len(content):,} bytes; " + ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        if first:
            stage.fact += f"; {shared}"
    inputs, what = judged_inputs(source, part.source, manifest, recipe.seed)
    compared = compare_layers(key, content, compressed, inputs, what, clock)
    shipped = Shipped(
        name=part.source.name,
        bucket=part.source.bucket,
        tflite=content,
        interface=compressed.relayered.interface,
        torch_names=dict(compressed.relayered.torch_names),
        audit=tuple(row.model_copy(update={"part": key}) for row in compressed.audit.rows),
        sparsity=tuple(compressed.sparse.rows) if compressed.sparse else (),
        tried=tried_configurations(source, recipe) if part.source.name == "decoder" else (),
        matched={pattern: tuple(names) for pattern, names in compressed.plan.matched.items()},
        compared=compared,
    )
    return shipped, OneLength(given=part.relayered, made=compressed)


def file_stem(key: str) -> str:
    """File or folder name of a part key: ``decoder@256`` is ``decoder-256``."""
    return key.replace("@", "-")


def tried_configurations(source: Source, recipe: Recipe) -> tuple[Tried, ...]:
    """What was tried on the default voice's decoder before its recipe was chosen; for other voices it was not tried.

    Marked as shipped is the row of the recipe, where the decoder's settings are still those of the built-in one.
    """
    if source.name != _TRIED_ON:
        return ()
    text = resources.files("toolkit.compress").joinpath("tried_decoder_joe.json").read_text(encoding="utf-8")
    rows = (Tried.model_validate(row) for row in json.loads(text))
    unchanged = recipe.name in builtin_names() and load(recipe.name).part("decoder") == recipe.part("decoder")
    return tuple(
        row.model_copy(update={"chosen": unchanged and row.name.startswith(f"recipe {recipe.name}:")}) for row in rows
    )
