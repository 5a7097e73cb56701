"""Takes out of a part what an integer graph need not compute: mask multiplications, averages, cropped upsamplings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.keras_graph.run import keras_runner
from converters.spec import Arrays
from toolkit.compress import rewire

if TYPE_CHECKING:
    import tf_keras

    from converters.keras_graph.relayer import RelayeredModel

_MASK = "mask"
_HOMOGENEOUS = frozenset({"LeakyReLU", "ReLU"})
_LINEAR = frozenset({"Conv2D", "Conv2DTranspose", "Dense"})
MIN_SNR_DB = 60.0
_JUDGES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamlined:
    """A part without the multiplications that only silence the padding.

    Attributes:
        relayered: the part.
        dropped: torch names of the multiplications taken out.
        snr_db: smallest ratio inside the mask, over the calibration inputs, against the part as it was.
    """

    relayered: RelayeredModel
    dropped: tuple[str, ...]
    snr_db: float


def streamline(relayered: RelayeredModel, calibration: Sequence[Arrays], min_snr_db: float = MIN_SNR_DB) -> Streamlined:
    """Drops all mask multiplications but the one on the input, and folds constant factors into the next weights.

    Without them the padding is not silent inside the part, and leaks into as many last frames as the receptive field
    is long. The difference inside the mask is measured; above ``min_snr_db`` the smaller graph is used, else the part
    stays as it is. Inputs with padding judge, where ``calibration`` has any: one that fills the bucket cannot tell.
    """
    masks = mask_layers(relayered.model)
    judges = judging_inputs(calibration)
    if not masks:
        return Streamlined(relayered=relayered, dropped=(), snr_db=float("inf"))
    dropped: dict[str, float] = {}
    smaller = rewire.rebuild(relayered.model, lambda *found: _visit(relayered.model, masks, dropped, *found))
    rewire.copy_weights(relayered.model, smaller)
    _fold_factors(relayered.model, smaller, dropped)
    candidate = replace(relayered, model=smaller)
    ratio = masked_snr_db(relayered, candidate, judges)
    if ratio < min_snr_db or not dropped:
        return Streamlined(relayered=relayered, dropped=(), snr_db=ratio)
    names = tuple(relayered.torch_names.get(name, name) for name in dropped)
    return Streamlined(relayered=candidate, dropped=names, snr_db=ratio)


def judging_inputs(calibration: Sequence[Arrays]) -> list[Arrays]:
    """The few inputs that tell whether a part still computes the same: those with padding, if there are any."""
    padded = [arrays for arrays in calibration if _MASK in arrays and not np.all(arrays[_MASK])]
    return (padded or list(calibration))[:_JUDGES]


def masked_snr_db(reference: RelayeredModel, candidate: RelayeredModel, calibration: Sequence[Arrays]) -> float:
    """Smallest signal-to-noise ratio of the outputs over the inputs, padding left out."""
    before, after = (
        keras_runner(reference.model, reference.interface),
        keras_runner(candidate.model, candidate.interface),
    )
    worst = float("inf")
    for arrays in calibration:
        expected, found = before(arrays), after(arrays)
        for name, signal in expected.items():
            inside = _inside(arrays, signal)
            error = float(np.sum(np.square((signal - found[name]) * inside, dtype=np.float64)))
            power = float(np.sum(np.square(signal * inside, dtype=np.float64)))
            if error > 0.0:
                worst = min(worst, 10.0 * float(np.log10(max(power, 1e-30) / error)))
    return worst


def mask_layers(model: tf_keras.Model) -> dict[str, float]:
    """Layers computed from the mask alone, with the constant factor they carry."""
    found: dict[str, float] = {}
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            if layer.name == _MASK:
                found[layer.name] = 1.0
            continue
        sources = [maker.name for maker in rewire.producers(layer)]
        if not all(name in found for name in sources):
            continue
        if kind == "Resize":
            found[layer.name] = found[sources[0]]
        elif kind == "ConstantMath" and layer.function == "multiply" and np.size(layer.get_weights()[0]) == 1:
            found[layer.name] = found[sources[0]] * float(np.ravel(layer.get_weights()[0])[0])
    return found


def _visit(
    model: tf_keras.Model, masks: dict[str, float], dropped: dict[str, float], layer: Any, inputs: list[Any], copy: Any
) -> Any:
    sources = rewire.producers(layer)
    masked = [index for index, source in enumerate(sources) if source.name in masks]
    if type(layer).__name__ == "Multiply" and len(sources) == 2 and len(masked) == 1:
        signal = 1 - masked[0]
        factor = masks[sources[masked[0]].name]
        foldable = factor == 1.0 or _linear_consumers(model, layer.name) is not None
        if type(sources[signal]).__name__ != "InputLayer" and foldable:
            dropped[layer.name] = factor
            return inputs[signal]
    return rewire.call(copy(), inputs)


def _linear_consumers(model: tf_keras.Model, name: str) -> list[str] | None:
    """Weighted layers a factor on ``name`` can move into, or ``None`` when it would have to pass anything else."""
    readers, ends, queue = rewire.consumers(model), [], [name]
    if any(tensor._keras_history.layer.name == name for tensor in model.outputs):
        return None
    while queue:
        for layer in readers[queue.pop()]:
            kind = type(layer).__name__
            if kind in _LINEAR:
                ends.append(layer.name)
            elif kind in _HOMOGENEOUS:
                queue.append(layer.name)
            else:
                return None
    return ends


def _fold_factors(original: tf_keras.Model, smaller: tf_keras.Model, dropped: dict[str, float]) -> None:
    for name, factor in dropped.items():
        if factor == 1.0:
            continue
        for end in _linear_consumers(original, name) or []:
            layer = smaller.get_layer(end)
            kernel, *rest = layer.get_weights()
            layer.set_weights([kernel * np.float32(factor), *rest])


def _inside(arrays: Arrays, signal: np.ndarray) -> np.ndarray:
    mask = arrays.get(_MASK)
    if mask is None or signal.ndim != 3 or signal.shape[-1] % mask.shape[-1]:
        return np.ones((1,) * signal.ndim, np.float32)
    return np.repeat(np.asarray(mask, np.float32), signal.shape[-1] // mask.shape[-1], axis=-1)
