"""Magnitude pruning by TF-MOT on a re-layered model, fine-tuned against the model's own float outputs."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import frameworks
from converters.spec import Arrays
from toolkit.compress import rewire
from toolkit.compress.schedule import learning_rate_share, pruning_schedule
from toolkit.compress.torch_globs import select
from toolkit.errors import DataError, RecipeError
from toolkit.recipe.schema import Sparsity as SparsitySettings
from toolkit.results.measurement import Sparsity

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel

Loss = Callable[[list[Any], list[Any]], Any]
"""``loss(float_outputs, outputs)`` in Keras' layout, to a scalar tensor."""
Progress = Callable[[int, int, float], None]
"""``on_progress(step, steps, loss)`` after every step."""

LEARNING_RATE = 1e-4
_GZIP_LEVEL = 9
_KERNELS = {
    "Conv2D": ("kernel",),
    "Conv2DTranspose": ("kernel",),
    "Dense": ("kernel",),
    "Embedding": ("embeddings",),
    "LSTM": ("cell.kernel", "cell.recurrent_kernel"),
    "GRU": ("cell.kernel", "cell.recurrent_kernel"),
}
# TF-MOT lays groups of four along the second axis from the end: input channels for these two only.
_KINDS_2_4 = ("Conv2D", "Dense")
_NOT_PRUNED = "TF-MOT prunes no kernel of this kind of layer"
_NOT_2_4 = "2:4 would not lie along the input channels of its kernel in the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseModel:
    """A part with exact zeros in its kernels.

    Attributes:
        relayered: an ordinary re-layered model, without wrappers.
        rows: share of zeros of every pruned kernel, by torch name.
        masks: layer name to the kernels kept: index among the layer's weights to where they are not zero.
        skipped: operators the glob names and pruning leaves alone, with the reason.
        losses: training loss of every step.
    """

    relayered: RelayeredModel
    rows: tuple[Sparsity, ...]
    masks: Mapping[str, Mapping[int, np.ndarray]]
    skipped: Mapping[str, str] = field(default_factory=dict)
    losses: tuple[float, ...] = ()


def prune(
    relayered: RelayeredModel,
    settings: SparsitySettings,
    calibration: Sequence[Arrays],
    seed: int,
    on_progress: Progress | None = None,
    loss: str | Loss = "output-matching",
    *,
    part: str = "",
    learning_rate: float = LEARNING_RATE,
) -> SparseModel:
    """Prunes the layers ``settings.match`` names, while fine-tuning them; same seed, same bytes.

    Args:
        relayered: the float model; it is not changed.
        settings: ratio, pattern, steps and glob.
        calibration: inputs of the part in torch's layout.
        seed: order of the inputs.
        on_progress: called after every step.
        loss: ``output-matching`` (squared error over each output's variance) or a function.
        part: name in results and messages; the spec's name by default.
        learning_rate: of Adam while masks grow; it falls to zero along a cosine after.

    Raises:
        RecipeError: the glob matches nothing, or nothing that can be pruned; or the loss is unknown.
        DataError: there is no calibration input.
    """
    part = part or relayered.interface.spec.name
    criterion = _criterion(loss, part)
    if not calibration:
        raise DataError("pruning needs calibration inputs and there are none", where=f"part {part!r}")
    chosen, skipped = _choose(relayered, settings, part)
    tf = frameworks.tensorflow()
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(seed)
    model, wrappers = _wrapped(relayered.model, chosen, settings)
    losses = _train(
        relayered, model, wrappers, settings.steps, calibration, seed, criterion, learning_rate, on_progress
    )
    return _stripped(relayered, wrappers, settings, part, skipped, losses)


def compressed_bytes(data: bytes) -> int:
    """Bytes of ``data`` after gzip: what zeros save in a download (in memory and on the flash they save nothing)."""
    return len(gzip.compress(data, _GZIP_LEVEL, mtime=0))


def _choose(relayered: RelayeredModel, settings: SparsitySettings, part: str) -> tuple[list[str], dict[str, str]]:
    where = f"part {part!r}, compress.sparsity.match"
    nodes = set(select(settings.match, relayered.torch_names.values(), where=where, what="sparsity glob"))
    chosen, skipped = [], {}
    for layer in relayered.model.layers:
        node = relayered.torch_names.get(layer.name)
        kind = type(layer).__name__
        if node not in nodes or not any(weight.shape.rank > 1 for weight in layer.weights):
            continue
        if kind not in _KERNELS:
            skipped[node] = _NOT_PRUNED
        elif settings.pattern == "2:4" and kind not in _KINDS_2_4:
            skipped[node] = _NOT_2_4
        else:
            chosen.append(layer.name)
    if not chosen:
        raise RecipeError(
            f"the sparsity glob {settings.match!r} names no layer that can be pruned ({settings.pattern})",
            code="sparsity/nothing-to-prune",
            where=where,
            hint="; ".join(f"{node}: {reason}" for node, reason in skipped.items()) or "name layers with kernels",
        )
    return chosen, skipped


def _wrapped(model: Any, chosen: Sequence[str], settings: SparsitySettings) -> tuple[Any, dict[str, Any]]:
    """A trainable copy with the chosen layers in TF-MOT's wrappers."""
    sparsity = frameworks.tfmot().sparsity.keras
    from toolkit.compress.time_phases import trainable_form

    options = _schedule(sparsity, settings)
    wrappers: dict[str, Any] = {}

    def visit(layer: Any, inputs: list[Any], _copy: Any) -> Any:
        new = trainable_form(layer)
        if layer.name not in chosen:
            return rewire.call(new, inputs)
        paths = _KERNELS[type(layer).__name__]
        # TF-MOT asks layers it does not know by class (the phased convolution, recurrent layers) for their kernels.
        new.get_prunable_weights = lambda: [_attribute(new, path) for path in paths]
        wrappers[layer.name] = sparsity.prune_low_magnitude(new, **options)
        return rewire.call(wrappers[layer.name], inputs)

    copy = rewire.rebuild(model, visit)
    rewire.copy_weights(model, copy)
    for name, wrapper in wrappers.items():
        wrapper.layer.set_weights(model.get_layer(name).get_weights())
        wrapper.pruning_step.assign(0)
    return copy, wrappers


def _schedule(sparsity: Any, settings: SparsitySettings) -> dict[str, Any]:
    if settings.pattern == "2:4":
        # TF-MOT fixes these masks at the first step.
        return {
            "pruning_schedule": sparsity.ConstantSparsity(0.5, begin_step=0, frequency=1),
            "sparsity_m_by_n": (2, 4),
        }
    plan = pruning_schedule(settings.target_ratio, settings.steps)
    decay = sparsity.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=plan.target_ratio,
        begin_step=0,
        end_step=plan.end_step,
        power=plan.power,
        frequency=plan.frequency,
    )
    return {"pruning_schedule": decay}


def _train(
    relayered: RelayeredModel,
    model: Any,
    wrappers: Mapping[str, Any],
    steps: int,
    calibration: Sequence[Arrays],
    seed: int,
    criterion: Loss,
    learning_rate: float,
    on_progress: Progress | None,
) -> tuple[float, ...]:
    tf, keras = frameworks.tensorflow(), frameworks.tf_keras()
    inputs = [_target_inputs(relayered, arrays) for arrays in calibration]
    reference = tf.function(lambda *arguments: _as_list(relayered.model(_one(arguments), training=False)))
    wanted = [reference(*arguments) for arguments in inputs]
    variables = [weight for wrapper in wrappers.values() for weight in wrapper.layer.trainable_weights]
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(variables)

    @tf.function
    def train(arguments: list[Any], targets: list[Any]) -> Any:
        with tf.GradientTape() as tape:
            # training=True also makes the wrappers update and apply their masks, before anything is computed.
            value = criterion(targets, _as_list(model(_one(arguments), training=True)))
        gradients = tape.gradient(value, variables)
        optimizer.apply_gradients(
            [(gradient, weight) for gradient, weight in zip(gradients, variables, strict=True) if gradient is not None]
        )
        return value

    draw, order, losses = np.random.default_rng(seed), [], []
    for step in range(1, steps + 1):
        order = order or [int(index) for index in draw.permutation(len(inputs))]
        index = order.pop()
        optimizer.learning_rate.assign(learning_rate * learning_rate_share(step, steps))
        losses.append(float(train(inputs[index], wanted[index])))
        if on_progress is not None:
            on_progress(step, steps, losses[-1])
    return tuple(losses)


def _stripped(
    relayered: RelayeredModel,
    wrappers: Mapping[str, Any],
    settings: SparsitySettings,
    part: str,
    skipped: Mapping[str, str],
    losses: tuple[float, ...],
) -> SparseModel:
    """The trained weights in plain layers; what the masks cut is zero to the last bit, without a sign."""
    model = rewire.rebuild(relayered.model, lambda _layer, inputs, copy: rewire.call(copy(), inputs))
    rewire.copy_weights(relayered.model, model)
    rows: list[Sparsity] = []
    masks: dict[str, dict[int, np.ndarray]] = {}
    for name, wrapper in wrappers.items():
        values = wrapper.layer.get_weights()
        places = [weight.ref() for weight in wrapper.layer.weights]
        kept = {places.index(weight.ref()): mask.numpy() != 0 for weight, mask, _ in wrapper.pruning_vars}
        for index, mask in kept.items():
            values[index] = np.where(mask, values[index], np.float32(0))
        model.get_layer(name).set_weights(values)
        masks[name] = kept
        zeros = sum(int(np.sum(values[index] == 0)) for index in kept)
        count = sum(values[index].size for index in kept)
        node = relayered.torch_names[name]
        rows.append(Sparsity(part=part, op=node, zero_ratio=zeros / count, pattern=settings.pattern))
    return SparseModel(
        relayered=dataclasses.replace(relayered, model=model),
        rows=tuple(rows),
        masks=masks,
        skipped=dict(skipped),
        losses=losses,
    )


def _criterion(loss: str | Loss, part: str) -> Loss:
    if callable(loss):
        return loss
    if loss == "output-matching":
        return _output_matching
    raise RecipeError(
        f"pruning has no loss {loss!r}",
        code="sparsity/unknown-loss",
        where=f"part {part!r}",
        hint="use output-matching",
    )


def _output_matching(wanted: list[Any], found: list[Any]) -> Any:
    tf = frameworks.tensorflow()
    errors = [
        tf.reduce_mean(tf.square(result - target)) / (tf.math.reduce_variance(target) + 1e-12)
        for target, result in zip(wanted, found, strict=True)
        if target.dtype.is_floating
    ]
    return tf.add_n(errors) / len(errors)


def _target_inputs(relayered: RelayeredModel, arrays: Arrays) -> list[Any]:
    tf, interface = frameworks.tensorflow(), relayered.interface
    return [
        tf.constant(interface.layouts[spec.name].to_target(np.asarray(arrays[spec.name], spec.dtype)))
        for spec in interface.spec.inputs
    ]


def _attribute(layer: Any, path: str) -> Any:
    for name in path.split("."):
        layer = getattr(layer, name)
    return layer


def _one(arguments: Sequence[Any]) -> Any:
    return list(arguments) if len(arguments) > 1 else arguments[0]


def _as_list(results: Any) -> list[Any]:
    return list(results) if isinstance(results, (list, tuple)) else [results]
