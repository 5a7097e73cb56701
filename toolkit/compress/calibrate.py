"""Ranges, powers and sensitivities of a part's tensors on real inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import frameworks
from converters.spec import Arrays
from toolkit.compress import rewire
from toolkit.compress.observe import run_layers, target_inputs, trainable_copy

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel

Progress = Callable[[int, int], None]
"""``progress(done, total)`` after every calibration input."""

_GAIN_INPUTS = 6
_POSITIONS = 1500
RANGE_FACTORS = (1.0, 0.85, 0.72, 0.6, 0.5, 0.4)
HEADROOM_FACTORS = (1.7, 1.4, 1.2, *RANGE_FACTORS)
"""Where all channels reach the ends of the range: other inputs than those that were looked at go beyond them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorStatistics:
    """One tensor over the calibration inputs, per channel (its last axis).

    Attributes:
        low: smallest value.
        high: largest value.
        power: mean square.
        gain: squared gradient of a random projection of the outputs, summed over positions: what a unit of noise power
            in the channel adds to the summed output power. Zeros when not asked for.
    """

    low: np.ndarray
    high: np.ndarray
    power: np.ndarray
    gain: np.ndarray


def observe_statistics(
    relayered: RelayeredModel,
    calibration: Sequence[Arrays],
    *,
    with_gain: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, TensorStatistics]:
    """Statistics of every float layer output, by layer name (inputs included)."""
    sums: dict[str, list[np.ndarray]] = {}
    inputs = list(target_inputs(relayered.interface, calibration))

    def watch(name: str, value: Any) -> Any:
        if value.dtype == "float32":
            found = np.asarray(value, np.float32).reshape(-1, value.shape[-1])
            fresh = [found.min(0), found.max(0), np.square(found).mean(0, dtype=np.float64)]
            known = sums.get(name)
            sums[name] = fresh if known is None else [
                np.minimum(known[0], fresh[0]), np.maximum(known[1], fresh[1]), known[2] + fresh[2]
            ]  # fmt: skip
        return value

    for index, arrays in enumerate(inputs):
        run_layers(relayered.model, arrays, watch)
        if progress is not None:
            progress(index + 1, len(inputs))
    gains = _gains(relayered, inputs[:: max(1, len(inputs) // _GAIN_INPUTS)][:_GAIN_INPUTS], seed) if with_gain else {}
    return {
        name: TensorStatistics(
            low=low, high=high, power=power / len(inputs), gain=gains.get(name, np.zeros(low.shape, np.float64))
        )
        for name, (low, high, power) in sums.items()
    }


def _gains(relayered: RelayeredModel, inputs: Sequence[Sequence[np.ndarray]], seed: int) -> dict[str, np.ndarray]:
    """Squared slopes by channel, noted as they pass: held all at once they would take as much memory as the signals."""
    tf = frameworks.tensorflow()
    model = trainable_copy(relayered.model)
    generator = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    # Slopes are asked for where floats begin, so that they run through every value on the way.
    roots = {
        layer.name
        for layer in model.layers
        if type(layer).__name__ == "InputLayer"
        or not any(symbol.dtype == tf.float32 for symbol in rewire.layer_inputs(layer))
    }

    def tapped(name: str, value: Any) -> Any:
        @tf.custom_gradient
        def tap(value: Any) -> tuple[Any, Callable[[Any], Any]]:
            def note(slope: Any) -> Any:
                slope = tf.convert_to_tensor(slope)
                squared = np.square(np.asarray(slope, np.float64)).reshape(-1, slope.shape[-1]).sum(0)
                found[name] = found.get(name, 0.0) + squared / len(inputs)
                return slope

            return tf.identity(value), note

        return tap(value)

    for arrays in inputs:
        starts: list[Any] = []
        with tf.GradientTape() as tape:

            def watch(name: str, value: Any, tape: Any = tape, starts: list[Any] = starts) -> Any:
                if value.dtype != tf.float32:
                    return value
                if name in roots:
                    tape.watch(value)
                    starts.append(value)
                return tapped(name, value)

            outputs = run_layers(model, [tf.constant(array) for array in arrays], watch)
            projections = [generator.standard_normal(output.shape).astype(np.float32) for output in outputs]
            total = tf.add_n([tf.reduce_sum(o * p) for o, p in zip(outputs, projections, strict=True)])
        tape.gradient(total, starts)
    return found


def search_ranges(
    relayered: RelayeredModel,
    calibration: Sequence[Arrays],
    statistics: Mapping[str, TensorStatistics],
    names: Sequence[str],
    factors: Sequence[float] = RANGE_FACTORS,
) -> dict[str, tuple[float, float]]:
    """The range of each tensor that loses least: smaller ranges round finer and clip more.

    The squared error of rounding and clipping, weighted by each channel's sensitivity where it is known, is summed over
    sampled positions for every pair of candidate ends; the ends are fractions of the calibrated extremes.
    """
    wanted = {name for name in names if name in statistics}
    errors = {name: np.zeros((len(factors), len(factors))) for name in wanted}

    def watch(name: str, value: Any) -> Any:
        if name in wanted:
            found = np.asarray(value, np.float32).reshape(-1, value.shape[-1])
            errors[name] += _range_errors(found[:: max(1, len(found) // _POSITIONS)], statistics[name], factors)
        return value

    for arrays in target_inputs(relayered.interface, calibration):
        run_layers(relayered.model, arrays, watch)
    chosen = {}
    for name, table in errors.items():
        low, high = np.unravel_index(int(np.argmin(table)), table.shape)
        bottom, top = min(float(statistics[name].low.min()), 0.0), max(float(statistics[name].high.max()), 1e-8)
        chosen[name] = (bottom * factors[low], top * factors[high])
    return chosen


def _range_errors(values: np.ndarray, statistics: TensorStatistics, factors: Sequence[float]) -> np.ndarray:
    weight = statistics.gain if statistics.gain.any() else np.ones_like(statistics.gain)
    bottom, top = min(float(statistics.low.min()), 0.0), max(float(statistics.high.max()), 1e-8)
    table = np.zeros((len(factors), len(factors)))
    for i, below in enumerate(factors):
        for j, above in enumerate(factors):
            low, high = bottom * below, top * above
            step = (high - low) / 255.0
            zero = np.round(-low / step)
            rounded = (np.clip(np.round(values / step) + zero, 0.0, 255.0) - zero) * step
            table[i, j] = float(np.sum(np.square(rounded - values).mean(0) * weight))
    return table
