"""Masks attention scores with numbers that 16 bits can hold beside the scores.

With a mask of -1e9 (or -3.4e38) among them, 16 bits hold scores in steps of 3e4. All a softmax wants is that what is
masked is far below every score that is not: with scores of at most R in magnitude, -2 R - 30 leaves e^-30 of a weight,
1e-13. R is observed on the calibration inputs, and the part is compared with what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from converters.keras_graph.run import keras_intermediates
from converters.spec import Arrays
from toolkit.compress import rewire
from toolkit.compress.streamline import judging_inputs, masked_snr_db
from toolkit.compress.unroundable import is_softmax, up_to_products

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel

_HOLDERS: Final = frozenset({"Constant", "ConstantMath"})
_LARGE: Final = 1e3
"""Constants below its negative are masks; scores are not as large."""
_MARGIN: Final = 30.0
MIN_SNR_DB: Final = 80.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """A part with smaller masks.

    Attributes:
        relayered: the part; the one given where it has no large mask, or computed something else without.
        layers: names of the layers whose constants were changed.
        lowest: what masks now.
        snr_db: against the part as it was.
    """

    relayered: RelayeredModel
    layers: tuple[str, ...] = ()
    lowest: float = 0.0
    snr_db: float = float("inf")


def with_moderate_masks(relayered: RelayeredModel, calibration: Sequence[Arrays]) -> Masked:
    """The part with its large masks of scores brought down, if that changes nothing.

    Args:
        relayered: the part.
        calibration: inputs the scores are observed on.
    """
    softmaxes = [layer for layer in rewire.computing_layers(relayered.model) if is_softmax(layer)]
    holders = {
        above.name: lowest
        for layer in softmaxes
        for above in up_to_products(layer)
        if type(above).__name__ in _HOLDERS and (lowest := _lowest(above)) <= -_LARGE
    }
    if not holders:
        return Masked(relayered=relayered)
    judges = judging_inputs(calibration)
    scores = [rewire.producers(layer)[0].name for layer in softmaxes]
    unmasked = max(holders.values()) / 2.0
    largest = max(_largest(keras_intermediates(relayered.model, relayered.interface, arrays, scores), unmasked)
                  for arrays in judges)  # fmt: skip
    limit = -2.0 * largest - _MARGIN
    model = rewire.rebuild(relayered.model, lambda layer, inputs, copy: rewire.call(copy(), inputs))
    rewire.copy_weights(relayered.model, model)
    for layer in model.layers:
        if layer.name in holders:
            layer.set_weights([np.maximum(values, np.float32(limit)) for values in layer.get_weights()])
    candidate = replace(relayered, model=model)
    ratio = masked_snr_db(relayered, candidate, judges)
    if ratio < MIN_SNR_DB:
        return Masked(relayered=relayered, snr_db=ratio)
    return Masked(relayered=candidate, layers=tuple(holders), lowest=limit, snr_db=ratio)


def _lowest(layer: Any) -> float:
    values = [np.asarray(weight) for weight in layer.get_weights()]
    return min((float(array.min()) for array in values if array.dtype == np.float32 and array.size), default=0.0)


def _largest(scores: dict[str, np.ndarray], above: float) -> float:
    """Largest magnitude of the scores that are not masked."""
    seen = [np.abs(array[array > above]) for array in scores.values()]
    return max((float(array.max()) for array in seen if array.size), default=0.0)
