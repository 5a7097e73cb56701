"""Compresses one part: sparsity, equalisation, ranges, fine-tuning, export, audit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from converters.keras_to_tflite import TfliteOptions, to_tflite
from converters.spec import Arrays
from converters.tflite_graph.order import in_order_of_need
from toolkit.compress.audit import AuditReport, audit
from toolkit.compress.calibrate import HEADROOM_FACTORS, TensorStatistics, observe_statistics, search_ranges
from toolkit.compress.channel_gains import GAIN_REASON, INTO
from toolkit.compress.equalise import equalise
from toolkit.compress.finetune import Finetuned, finetune
from toolkit.compress.float_functions import restore_float_functions
from toolkit.compress.keras_qat import Ranges, wrap
from toolkit.compress.keras_sparsity import SparseModel, prune
from toolkit.compress.levels import LEVELS_REASON, split_levels
from toolkit.compress.masked_scores import with_moderate_masks
from toolkit.compress.pointless_rounding import without_pointless_rounding
from toolkit.compress.precision import LayerPrecision, PrecisionPlan, plan_precision
from toolkit.compress.principal import PRINCIPAL_REASON, split_principal
from toolkit.compress.quantised_tensors import WEIGHTED, quantised_tensors, tied_ranges
from toolkit.compress.restore_floats import restore_floats
from toolkit.compress.rewire import computing_layers
from toolkit.compress.saturating_clips import without_saturating_clips
from toolkit.compress.streamline import streamline
from toolkit.compress.weight_only import store_as, store_int8_storage, store_int8_weights
from toolkit.compress.wide import export_wide
from toolkit.errors import RecipeError

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel
    from toolkit.recipe.schema import Compression, Precision, PrecisionPolicy

Progress = Callable[[str, int, int, str], None]
"""``on_progress(stage, done, total, fact)``; stages: prune, streamline, equalise, principal, levels,
finetune, export."""

_TRAINED = frozenset({"int8", "int8-weights"})
_ENTRY_REASON = "channel scales of the input, applied before it is rounded to 8 bits"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedPart:
    """A part in the precisions it was asked to have.

    Attributes:
        tflite: the file.
        relayered: float weights the file was made of (equalised, trained).
        plan: asked precision per layer.
        audit: asked against realised precision per operator.
        dropped_masks: torch names of mask multiplications taken out.
        equalise_gain_db: predicted drop of the rounding noise at the output.
        sparse: what pruning did, if any.
        tuned: what fine-tuning did, if any.
        exact: the rewritten part before fine-tuning, still the float function it was given; None without int8.
        ranges: smallest and largest value of every 8-bit tensor, by layer name; empty without int8.
    """

    tflite: bytes
    relayered: RelayeredModel
    plan: PrecisionPlan
    audit: AuditReport
    dropped_masks: tuple[str, ...] = ()
    equalise_gain_db: float = 0.0
    sparse: SparseModel | None = None
    tuned: Finetuned | None = None
    exact: RelayeredModel | None = None
    ranges: Ranges = field(default_factory=dict)


def compress_part(
    relayered: RelayeredModel,
    policy: PrecisionPolicy,
    settings: Compression,
    calibration: Sequence[Arrays],
    *,
    seed: int = 0,
    checkpoint_dir: Path | None = None,
    on_progress: Progress | None = None,
    float_file: bytes | None = None,
) -> CompressedPart:
    """Gives a part the precisions of a policy.

    Args:
        relayered: the float part.
        policy: default precision and rules.
        settings: equalisation, sparsity and fine-tuning.
        calibration: real inputs in torch's layout; never those the result is judged on.
        seed: decides every random choice.
        checkpoint_dir: where fine-tuning keeps its place.
        on_progress: told about every stage.
        float_file: the float32 file of ``relayered`` where there is one; saves writing it again.

    Raises:
        RecipeError: a rule matches nothing, the precisions cannot stand in one file, or fine-tuning has nothing to do.
        AuditError: an operator of the file is not in the precision it was asked to have.
    """
    tell = on_progress or (lambda stage, done, total, fact: None)
    part = relayered.interface.spec.name
    plan = plan_precision(relayered, policy, part)
    sparse = None
    if settings.sparsity is not None:
        sparse = prune(
            relayered, settings.sparsity, calibration, seed, part=part,
            on_progress=lambda step, steps, loss: tell("prune", step, steps, f"loss {loss:.4g}"),
        )  # fmt: skip
        relayered, float_file = sparse.relayered, None
    if settings.finetune.steps and not plan.precisions() & _TRAINED:
        raise RecipeError(
            "fine-tuning is asked for, and no operator is int8 or int8-weights: there is nothing it could repair",
            code="finetune/nothing-rounded",
            where=f"part {part!r}, compress.finetune.steps",
            hint="set it to 0, or ask for int8 or int8-weights; int16x8 and float16 are exported without training",
        )
    if "int8" not in plan.precisions():
        tuned = None
        if settings.finetune.steps:
            tuned = _tune(relayered, plan, {}, settings, calibration, seed, checkpoint_dir, tell, sparse)
            relayered, float_file = replace(relayered, model=tuned.model), None
        return replace(_whole(relayered, plan, calibration, tell, float_file), sparse=sparse, tuned=tuned)
    result = quantise(
        relayered, plan, settings, calibration, seed=seed, checkpoint_dir=checkpoint_dir, on_progress=tell,
        sparse=sparse,
    )  # fmt: skip
    return replace(result, sparse=sparse)


def quantise(
    relayered: RelayeredModel,
    plan: PrecisionPlan,
    settings: Compression,
    calibration: Sequence[Arrays],
    *,
    seed: int = 0,
    checkpoint_dir: Path | None = None,
    on_progress: Progress | None = None,
    sparse: SparseModel | None = None,
) -> CompressedPart:
    """A part with int8 operators, from its resolved plan; arguments and errors as for `compress_part`.

    ``sparse`` is what pruned it, if anything did: its zeros survive fine-tuning.
    """
    tell = on_progress or (lambda stage, done, total, fact: None)
    lean = streamline(relayered, calibration)
    relayered = lean.relayered
    if lean.dropped:
        tell("streamline", 1, 1, f"{len(lean.dropped)} mask multiplications dropped, {lean.snr_db:.0f} dB")
        plan = plan_without(plan, relayered)
    gain = 0.0
    if settings.equalise:
        # Pruned weights stay zero: scales multiply them.
        balanced = equalise(relayered, plan, calibration, seed)
        relayered, gain, statistics = balanced.relayered, balanced.predicted_gain_db, balanced.statistics
        relayered, plan = _known(relayered, plan, _ENTRY_REASON)
        tell("equalise", 1, 1, f"{gain:.1f} dB less rounding noise predicted")
    else:
        statistics = observe_statistics(relayered, calibration, with_gain=True, seed=seed)
    narrower: Mapping[str, float] = {}
    if settings.principal:
        split = split_principal(relayered, settings.principal, list(calibration)[::2], plan.part)
        relayered, plan = _known(split.relayered, plan, PRINCIPAL_REASON, "float16")
        narrower = split.range_ratios
        tell("principal", 1, 1, f"{len(split.layers)} convolutions split, equal to {split.snr_db:.0f} dB")
    if settings.channel_gains:
        # From one half of the inputs, so that the other says how much room a range needs.
        freed = equalise(relayered, plan, list(calibration)[::2], seed, channel_gains=True)
        relayered, statistics = freed.relayered, freed.statistics
        relayered, plan = _known(relayered, plan, GAIN_REASON)
        gain += freed.predicted_gain_db
        tell("equalise", 1, 1, f"{freed.predicted_gain_db:.1f} dB less with gains where 8 bits meet float")
    elif settings.principal:
        statistics = observe_statistics(relayered, list(calibration)[::2], with_gain=True, seed=seed)
    if settings.levels:
        apart = split_levels(relayered, settings.levels, plan, statistics, calibration)
        relayered, plan = _known(apart.relayered, plan, LEVELS_REASON, integer=apart.added)
        statistics = observe_statistics(relayered, list(calibration)[::2], with_gain=True, seed=seed)
        tell("levels", 1, 1, f"{len(apart.layers)} convolutions split, equal to {apart.snr_db:.0f} dB")
    rounded = quantised_tensors(relayered.model, plan)
    ranges = choose_ranges(relayered, calibration, statistics, rounded.activations, filled=settings.channel_gains)
    ranges |= {name: (r * ranges[name][0], r * ranges[name][1]) for name, r in _rounded(narrower, ranges).items()}
    ranges = tied_ranges(relayered.model, rounded, ranges)
    tuned, exact = None, relayered
    if settings.finetune.steps:
        tuned = _tune(relayered, plan, ranges, settings, calibration, seed, checkpoint_dir, tell, sparse)
        relayered, ranges = replace(relayered, model=tuned.model), tied_ranges(relayered.model, rounded, tuned.ranges)
    content = export_int8(relayered, plan, ranges)
    tell("export", 1, 1, f"{len(content):,} bytes")
    return CompressedPart(
        tflite=content,
        relayered=relayered,
        plan=plan,
        audit=audit(content, plan, relayered.torch_names),
        dropped_masks=lean.dropped,
        equalise_gain_db=gain,
        tuned=tuned,
        exact=exact,
        ranges=ranges,
    )


def _rounded(ratios: Mapping[str, float], ranges: Ranges) -> dict[str, float]:
    """The ratios of the tensors that are rounded, which may be named after the gain behind the layer that was split."""
    found = {(name if name in ranges else name + INTO): ratio for name, ratio in ratios.items()}
    return {name: ratio for name, ratio in found.items() if name in ranges}


def choose_ranges(
    relayered: RelayeredModel,
    calibration: Sequence[Arrays],
    statistics: dict[str, TensorStatistics],
    names: Sequence[str],
    *,
    filled: bool = False,
) -> dict[str, tuple[float, float]]:
    """Ranges of the 8-bit tensors; every third input is enough to choose between clipping and rounding.

    Where every channel fills its range (``filled``), inputs that were not looked at overflow it: all of them decide,
    and it may be wider than what was seen.
    """
    if filled:
        return search_ranges(relayered, calibration, statistics, names, HEADROOM_FACTORS)
    return search_ranges(relayered, list(calibration)[::3], statistics, names)


def export_int8(relayered: RelayeredModel, plan: PrecisionPlan, ranges: dict[str, tuple[float, float]]) -> bytes:
    """The int8 file of a part: fake quantisation is folded, float layers keep their float weights exactly."""
    wrapped = wrap(relayered.model, plan, ranges)
    content = to_tflite(wrapped, relayered.interface, TfliteOptions(quantization="qat_int8"))
    content = restore_float_functions(restore_floats(content, relayered.model, plan), plan)
    content = without_saturating_clips(without_pointless_rounding(content, plan))
    return _stored(content, plan, relayered)


def _tune(
    relayered: RelayeredModel,
    plan: PrecisionPlan,
    ranges: Ranges,
    settings: Compression,
    calibration: Sequence[Arrays],
    seed: int,
    checkpoint_dir: Path | None,
    tell: Progress,
    sparse: SparseModel | None,
) -> Finetuned:
    steps = settings.finetune.steps
    tuned = finetune(
        relayered.model, relayered.interface, plan, ranges, calibration, settings.finetune, seed=seed,
        masks=sparse.masks if sparse else None, checkpoint_dir=checkpoint_dir,
        on_progress=lambda step, steps, loss: tell("finetune", step, steps, f"loss {loss:.3g}"),
    )  # fmt: skip
    before, after = tuned.held_out
    tell("finetune", steps, steps, f"held-out loss {before:.4g} to {after:.4g}, {'kept' if tuned.kept else 'not kept'}")
    return tuned


def _whole(
    relayered: RelayeredModel,
    plan: PrecisionPlan,
    calibration: Sequence[Arrays],
    tell: Progress,
    float_file: bytes | None,
) -> CompressedPart:
    """A part without int8 operators: float32, float16 constants, or 16-bit activations throughout."""
    if "int16x8" in plan.precisions():
        masked = with_moderate_masks(relayered, calibration)
        relayered = masked.relayered
        if masked.layers:
            told = f"{len(masked.layers)} masks of scores at {masked.lowest:.0f}, equal to {masked.snr_db:.0f} dB"
            tell("masks", 1, 1, told)
        content, plan = export_wide(relayered, plan, calibration)
    else:
        content = to_tflite(relayered.model, relayered.interface) if float_file is None else float_file
    content = _stored(content, plan, relayered)
    tell("export", 1, 1, f"{len(content):,} bytes")
    return CompressedPart(
        tflite=content, relayered=relayered, plan=plan, audit=audit(content, plan, relayered.torch_names)
    )


def _stored(content: bytes, plan: PrecisionPlan, relayered: RelayeredModel) -> bytes:
    """The file with its constants stored as the plan asks, its operators where their results are needed."""
    content = store_int8_weights(store_float16(content, plan, relayered), plan)
    return in_order_of_need(store_int8_storage(content, plan))


def store_float16(content: bytes, plan: PrecisionPlan, relayered: RelayeredModel) -> bytes:
    """The file with the constants of operators that are asked to be float16 stored so."""
    from converters.tflite_graph.float16_constants import float16_constants

    return store_as("float16", content, plan, float16_constants)


def _known(
    relayered: RelayeredModel,
    plan: PrecisionPlan,
    because: str,
    precision: Precision = "float32",
    integer: Collection[str] = (),
) -> tuple[RelayeredModel, PrecisionPlan]:
    """Enters layers that compression added into the plan; those in ``integer`` want 8 bits."""
    asked = plan.by_layer()
    added = tuple(
        LayerPrecision(
            layer=layer.name,
            torch_name=layer.name,
            op="",
            asked="int8" if layer.name in integer else precision,
            because=because,
            multiplies=type(layer).__name__ in WEIGHTED,
        )
        for layer in computing_layers(relayered.model)
        if layer.name not in asked
    )
    names = {**relayered.torch_names, **{item.layer: item.torch_name for item in added}}
    return replace(relayered, torch_names=names), replace(plan, layers=(*added, *plan.layers))


def plan_without(plan: PrecisionPlan, relayered: RelayeredModel) -> PrecisionPlan:
    """The plan without layers that were taken out."""
    present = {layer.name for layer in relayered.model.layers}
    return replace(plan, layers=tuple(item for item in plan.layers if item.layer in present))
