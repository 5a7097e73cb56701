"""Keeps the few directions that carry most of a signal in float, and rounds only what is left.

A convolution's input ``x`` is split into its projection on a few principal directions and the rest,
``W x = (W U) (U' x) + W (x - U U' x)``. The first term is a convolution of ``rank`` channels in float; the second has
the cost of the whole, but a far smaller input and output, so that 8 bits round both that much finer. It is an exact
rewrite of the float function. Source: the low-rank branch of SVDQuant (Li et al. 2024, arXiv:2411.05007), with the
directions taken from the signal instead of the weights.

    before:  x -> Conv 8 bits
    after:   x -> Project -> Expand -> Rest (x minus it) -> Conv 8 bits -> Add
                         `-> Conv of few channels, float -----------------'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from converters import frameworks
from converters.spec import Arrays, Interface
from toolkit.compress import rewire
from toolkit.compress.exact_split import chosen_layers, proven
from toolkit.compress.observe import run_layers, target_inputs
from toolkit.compress.torch_globs import torch_path

if TYPE_CHECKING:
    import tf_keras

    from converters.keras_graph.relayer import RelayeredModel
    from toolkit.recipe.schema import PrincipalSplit

PRINCIPAL_REASON = "principal directions of an 8-bit convolution's input, kept in float so that the rest rounds finer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A part whose chosen convolutions are split.

    Attributes:
        relayered: the part.
        layers: the convolutions that were split, by layer name.
        range_ratios: by layer name of the tensors whose ranges shrank (the rests, and the outputs of the split
            convolutions), how much narrower than the best in squared error the recipe wants them.
        snr_db: against the part as it was, on the first calibration input.
    """

    relayered: RelayeredModel
    layers: tuple[str, ...]
    range_ratios: Mapping[str, float]
    snr_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Branch:
    """What convolutions that read the same tensor share: its name prefix and directions ``[channels, rank]``."""

    prefix: str
    directions: np.ndarray


def split_principal(
    relayered: RelayeredModel, splits: Sequence[PrincipalSplit], calibration: Sequence[Arrays], part: str
) -> Split:
    """Splits the convolutions the recipe names.

    Args:
        relayered: float part.
        splits: globs over torch names with the number of directions each keeps in float; the last that matches wins.
        calibration: real inputs in torch's layout; the directions are those of their second moments.
        part: its name, for messages.

    Raises:
        RecipeError: a glob matches nothing, or names what cannot be split.
        ParityError: the split part computes something else.
    """
    chosen = chosen_layers(relayered, splits, f"part {part!r}, compress.principal", _without_directions)
    model = relayered.model
    moments = second_moments(
        model, relayered.interface, calibration, {rewire.producers(model.get_layer(name))[0].name for name in chosen}
    )
    branches: dict[tuple[str, int], _Branch] = {}
    ratios: dict[str, float] = {}
    ranks = {name: _rank(model.get_layer(name), split) for name, split in chosen.items()}
    for name, split in chosen.items():
        source, rank = rewire.producers(model.get_layer(name))[0].name, ranks[name]
        if (source, rank) not in branches:
            directions = principal_directions(moments[source], rank)
            branches[source, rank] = _Branch(prefix=f"{torch_path(name)}.principal", directions=directions)
        ratios[name] = split.range_ratio
        # Convolutions that share a rest cannot clip it differently: the one that wants most room has it.
        rest = f"{branches[source, rank].prefix}/Rest"
        ratios[rest] = max(ratios.get(rest, 0.0), split.range_ratio)
    built = _rebuild(model, ranks, branches)
    result = replace(relayered, model=built)
    return Split(
        relayered=result,
        layers=tuple(chosen),
        range_ratios=ratios,
        snr_db=proven(relayered, result, calibration[0], f"part {part!r}, principal split"),
    )


def second_moments(
    model: tf_keras.Model, interface: Interface, calibration: Sequence[Arrays], names: set[str]
) -> dict[str, np.ndarray]:
    """Sum of the outer products of a layer's channels over all positions, ``[channels, channels] float64``."""
    found: dict[str, np.ndarray] = {}

    def watch(name: str, value: Any) -> Any:
        if name in names:
            flat = np.asarray(value, np.float64).reshape(-1, value.shape[-1])
            found[name] = found.get(name, 0.0) + flat.T @ flat
        return value

    for inputs in target_inputs(interface, calibration):
        run_layers(model, inputs, watch)
    return found


def principal_directions(moments: np.ndarray, rank: int) -> np.ndarray:
    """The ``rank`` orthonormal directions with most power, ``[channels, rank] float32``, each one's sign fixed."""
    # Threads split sums, and near-equal directions turn with their rounding: one thread, the same bytes everywhere.
    with threadpool_limits(1):
        directions = np.linalg.eigh(moments)[1][:, ::-1][:, :rank]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(0)[None], axis=0)
    return (directions * np.where(largest < 0.0, -1.0, 1.0)).astype(np.float32)


def _without_directions(split: PrincipalSplit, channels: int) -> str | None:
    return None if channels > 1 else "has no directions to choose from"


def _rank(layer: Any, split: PrincipalSplit) -> int:
    """Directions a convolution keeps: as many as the recipe says, in narrower voices at most half of its channels."""
    return min(split.rank, int(rewire.layer_inputs(layer)[0].shape[-1]) // 2)


def _rebuild(
    model: tf_keras.Model, ranks: Mapping[str, int], branches: Mapping[tuple[str, int], _Branch]
) -> tf_keras.Model:
    made: dict[str, tuple[Any, Any]] = {}
    add = frameworks.tf_keras().layers.Add

    def visit(layer: Any, inputs: list[Any], copy: Any) -> Any:
        if layer.name not in ranks:
            return rewire.call(copy(), inputs)
        branch = branches[rewire.producers(layer)[0].name, ranks[layer.name]]
        if branch.prefix not in made:
            few = _pointwise(f"{branch.prefix}/Project", ranks[layer.name])(inputs[0])
            less = _pointwise(f"{branch.prefix}/Expand", inputs[0].shape[-1])(few)
            made[branch.prefix] = (few, add(name=f"{branch.prefix}/Rest")([inputs[0], less]))
        few, rest = made[branch.prefix]
        own = f"{torch_path(layer.name)}.principal"
        small = type(layer).from_config({**layer.get_config(), "name": f"{own}/Conv"})(few)
        return add(name=f"{own}/Add")([copy()(rest), small])

    built = rewire.rebuild(model, visit)
    rewire.copy_weights(model, built)
    for branch in branches.values():
        _set_kernel(built.get_layer(f"{branch.prefix}/Project"), branch.directions)
        _set_kernel(built.get_layer(f"{branch.prefix}/Expand"), -branch.directions.T)
    for name, rank in ranks.items():
        directions = branches[rewire.producers(model.get_layer(name))[0].name, rank].directions
        kernel, bias = model.get_layer(name).get_weights()
        transposed = type(model.get_layer(name)).__name__ == "Conv2DTranspose"
        # Kernels are [1, taps, in, out]; of transposed convolutions [1, taps, out, in].
        small = kernel @ directions if transposed else np.einsum("hwio,ir->hwro", kernel, directions)
        built.get_layer(name).set_weights([kernel, np.zeros_like(bias)])
        built.get_layer(f"{torch_path(name)}.principal/Conv").set_weights([small, bias])
    return built


def _pointwise(name: str, channels: int) -> Any:
    """A 1x1 convolution; its bias stays zero, and is there because delegates refuse one without."""
    return frameworks.tf_keras().layers.Conv2D(channels, (1, 1), name=name)


def _set_kernel(layer: Any, matrix: np.ndarray) -> None:
    layer.set_weights([matrix[None, None], np.zeros(matrix.shape[1], np.float32)])
