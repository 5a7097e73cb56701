"""Rounds the quiet and the loud part of a signal in steps of their own.

Speech spans more than 8 bits from its pauses to its peaks: steps that hold the peaks hiss in the pauses. A convolution
is linear, so that ``W x = W q + W l`` for ``q = clip(x, -c, c)`` and ``l = x - q``. Both products are 8-bit
convolutions with ranges of their own; the first has steps as fine as ``c`` is small, and where the signal is quiet the
second is zero, which 8 bits hold exactly. It is an exact rewrite of the float function. The two share one kernel in the
file until fine-tuning trains them apart.

    before:  float x -> QUANTIZE -> Conv 8 bits -> DEQUANTIZE -> float
    after:   float x -> clip -> QUANTIZE -> Conv 8 bits -> DEQUANTIZE -> add -> float
                  `-> x minus it -> QUANTIZE -> Conv 8 bits -> DEQUANTIZE -'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import frameworks
from converters.spec import Arrays
from toolkit.compress import rewire
from toolkit.compress.calibrate import TensorStatistics
from toolkit.compress.exact_split import chosen_layers, proven
from toolkit.compress.quantised_tensors import quantised_tensors
from toolkit.compress.torch_globs import torch_path

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel
    from toolkit.compress.precision import PrecisionPlan
    from toolkit.recipe.schema import LevelSplit

LEVELS_REASON = "the loud part of an 8-bit convolution's input, apart from the quiet part, which then rounds finer"
_SHORT = 1.5
"""A side that reaches no further than this over the threshold stays whole: an operator less for a third of a bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """A part whose chosen convolutions are split by level.

    Attributes:
        relayered: the part.
        layers: the convolutions that were split, by layer name.
        added: the convolutions of the loud parts, by layer name; they want 8 bits.
        snr_db: against the part as it was, on the first calibration input.
    """

    relayered: RelayeredModel
    layers: tuple[str, ...]
    added: tuple[str, ...]
    snr_db: float


def split_levels(
    relayered: RelayeredModel,
    splits: Sequence[LevelSplit],
    plan: PrecisionPlan,
    statistics: Mapping[str, TensorStatistics],
    calibration: Sequence[Arrays],
) -> Levels:
    """Splits the convolutions the recipe names.

    Args:
        relayered: float part.
        splits: globs over torch names with where loud begins; the last that matches wins.
        plan: says which convolutions will be 8-bit; others cannot be named.
        statistics: what calibration saw, by layer name.
        calibration: inputs in torch's layout; the first proves the rewrite.

    Raises:
        RecipeError: a glob matches nothing, or names what cannot be split.
        ParityError: the split part computes something else.
    """
    where = f"part {plan.part!r}, compress.levels"
    chosen = chosen_layers(relayered, splits, where, among=quantised_tensors(relayered.model, plan).kernels)
    frameworks.tensorflow()
    from converters.keras_graph.layers import UnaryMath

    keras = frameworks.tf_keras().layers
    made: dict[str, dict[float, tuple[Any, Any]]] = {}
    loud_names = {name: f"{torch_path(name)}.loud/Conv" for name in chosen}

    def parts(source: str, value: Any, begin: float) -> tuple[Any, Any]:
        known = made.setdefault(source, {})
        if begin not in known:
            low, high = float(statistics[source].low.min()), float(statistics[source].high.max())
            loud = begin * max(-low, high)
            suffix = f"_{len(known)}" if known else ""
            ends = {
                "low": -loud if -low > _SHORT * loud else None,
                "high": loud if high > _SHORT * loud else None,
            }
            quiet = UnaryMath(function="clip", **ends, name=f"{source}/quiet{suffix}")
            held = quiet(value)
            known[begin] = (held, keras.Subtract(name=f"{source}/loud{suffix}")([value, held]))
        return known[begin]

    def visit(layer: Any, inputs: list[Any], copy: Any) -> Any:
        if layer.name not in chosen:
            return rewire.call(copy(), inputs)
        quiet, loud = parts(rewire.producers(layer)[0].name, inputs[0], chosen[layer.name].begin)
        second = type(layer).from_config({**layer.get_config(), "name": loud_names[layer.name]})
        return keras.Add(name=f"{torch_path(layer.name)}.loud/Add")([copy()(quiet), second(loud)])

    model = rewire.rebuild(relayered.model, visit)
    rewire.copy_weights(relayered.model, model)
    for name, loud in loud_names.items():
        kernel, bias = relayered.model.get_layer(name).get_weights()
        model.get_layer(loud).set_weights([kernel, np.zeros_like(bias)])
    result = replace(relayered, model=model)
    return Levels(
        relayered=result,
        layers=tuple(chosen),
        added=tuple(loud_names.values()),
        snr_db=proven(relayered, result, calibration[0], f"part {plan.part!r}, split by level"),
    )
