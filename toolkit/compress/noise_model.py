"""What 8-bit rounding does to a part's output, predicted from calibration, and the channel scales that make it least.

All values of a channel may be divided by a positive scale if the weights around it undo it. One scale vector serves
every tensor of a *stream* (tensors tied together by additions and homogeneous activations). Rounding a tensor to 255
steps adds noise of power ``(range / 255)^2 / 12`` to each channel; what reaches the output is weighted by the channel's
sensitivity (mean squared gradient) and by the square of its scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

_STEPS, _WEIGHT_STEPS = 255.0, 127.0
_SMALLEST = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorNoise:
    """A tensor rounded to 8 bits.

    Attributes:
        stream: name of its scale vector; empty when it cannot be scaled.
        low: smallest value per channel, as calibrated.
        high: largest value per channel.
        gain: power at the output per unit of noise power in the channel.
    """

    stream: str
    low: np.ndarray
    high: np.ndarray
    gain: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightNoise:
    """A kernel rounded to 8 bits.

    Attributes:
        source: stream of the input, or empty.
        target: stream of the output, or empty.
        peak: largest magnitude per output and input channel, ``[out, in]``.
        taps: kernel positions.
        power: mean square of each input channel.
        gain: power at the output per unit of noise power in an output channel.
        per_channel: one scale per output channel rather than one for the kernel.
    """

    source: str
    target: str
    peak: np.ndarray
    taps: int
    power: np.ndarray
    gain: np.ndarray
    per_channel: bool


@dataclass(slots=True)
class _Total:
    noise: float = 0.0
    slope: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, stream: str, slope: np.ndarray) -> None:
        if stream:
            self.slope[stream] = self.slope.get(stream, 0.0) + slope


def predict(tensors: Sequence[TensorNoise], kernels: Sequence[WeightNoise], scales: Mapping[str, np.ndarray]) -> float:
    """Predicted noise power at the output."""
    return _noise(_terms(tensors, kernels), {name: np.log(scale) for name, scale in scales.items()}).noise


def best_scales(
    tensors: Sequence[TensorNoise], kernels: Sequence[WeightNoise], sizes: Mapping[str, int], steps: int = 800
) -> dict[str, np.ndarray]:
    """Scale vectors per stream that minimise the predicted noise; deterministic (Adam on log scales, decaying step)."""
    logs = {name: np.zeros(size) for name, size in sizes.items()}
    first = {name: np.zeros(size) for name, size in sizes.items()}
    second = {name: np.zeros(size) for name, size in sizes.items()}
    best, kept = np.inf, {name: value.copy() for name, value in logs.items()}
    terms = _terms(tensors, kernels)
    for step in range(1, steps + 1):
        total = _noise(terms, logs)
        if total.noise < best:
            best, kept = total.noise, {name: value.copy() for name, value in logs.items()}
        rate = 0.05 * (1.0 - step / (steps + 1)) + 1e-4
        for name in logs:
            slope = np.asarray(total.slope.get(name, np.zeros_like(logs[name]))) / max(total.noise, 1e-300)
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.99 * second[name] + 0.01 * slope**2
            move = first[name] / (1 - 0.9**step) / (np.sqrt(second[name] / (1 - 0.99**step)) + 1e-8)
            logs[name] = logs[name] - rate * move
    return {name: np.exp(value - value.mean()).astype(np.float64) for name, value in kept.items()}


_Term = Callable[[_Total, Mapping[str, np.ndarray]], None]
"""Adds one tensor's or kernel's noise and its slopes to a total, for given scales."""


def _terms(tensors: Sequence[TensorNoise], kernels: Sequence[WeightNoise]) -> list[_Term]:
    """All sources of noise, in one order: sums are rounded, and the same scales must come out of them each time.

    What no scale reaches is worked out once, and room for the largest kernel is made once: there are 800 steps.
    """
    terms = [_same_each_time(t, _add_tensor, not t.stream) for t in tensors]
    room = np.empty(max((kernel.peak.size for kernel in kernels), default=0))
    for kernel in kernels:
        own = room[: kernel.peak.size].reshape(kernel.peak.shape)
        add = partial(_add_kernel, rows=kernel.peak.max(axis=1), room=own)
        terms.append(_same_each_time(kernel, add, not kernel.source and not kernel.target))
    return terms


def _same_each_time(source: Any, add: Callable[..., None], fixed: bool) -> _Term:
    if not fixed:
        return partial(add, source)
    found = _Total()
    add(source, found, {})
    return partial(_add_noise, found.noise)


def _add_noise(noise: float, total: _Total, logs: Mapping[str, np.ndarray]) -> None:
    total.noise += noise


def _noise(terms: Sequence[_Term], logs: Mapping[str, np.ndarray]) -> _Total:
    total = _Total()
    for add in terms:
        add(total, logs)
    return total


def _add_tensor(tensor: TensorNoise, total: _Total, logs: Mapping[str, np.ndarray]) -> None:
    scale = np.exp(logs[tensor.stream]) if tensor.stream else np.ones_like(tensor.gain)
    high, low = np.maximum(tensor.high, _SMALLEST) / scale, np.maximum(-tensor.low, _SMALLEST) / scale
    top, bottom = int(np.argmax(high)), int(np.argmax(low))
    span = high[top] + low[bottom]
    reach = tensor.gain * scale**2
    factor = 1.0 / (_STEPS**2 * 12.0)
    total.noise += factor * span**2 * float(reach.sum())
    slope = factor * span**2 * 2.0 * reach
    slope[top] -= factor * 2.0 * span * high[top] * reach.sum()
    slope[bottom] -= factor * 2.0 * span * low[bottom] * reach.sum()
    total.add(tensor.stream, slope)


def _add_kernel(
    kernel: WeightNoise, total: _Total, logs: Mapping[str, np.ndarray], *, rows: np.ndarray, room: np.ndarray
) -> None:
    """``rows`` is the largest magnitude of each output; ``room`` as large as the kernel, overwritten."""
    outputs, inputs = kernel.peak.shape
    source = np.exp(logs[kernel.source]) if kernel.source else np.ones(inputs)
    target = np.exp(logs[kernel.target]) if kernel.target else np.ones(outputs)
    heard = kernel.power / source**2
    factor = kernel.taps / (_WEIGHT_STEPS**2 * 12.0)
    reach = kernel.gain * target**2
    if kernel.per_channel and not kernel.source:
        # Nothing but the output's own scale divides a row: its largest stays its largest, whichever input's it is.
        parts = factor * reach * (rows / target) ** 2
        total.noise += float(parts.sum() * heard.sum())
        return
    scaled = np.multiply(kernel.peak, source[None, :], out=room)
    if kernel.target:
        scaled = np.divide(scaled, target[:, None], out=room)
    if kernel.per_channel:
        widest = np.argmax(scaled, axis=1)
        peak = scaled[np.arange(outputs), widest] ** 2
    else:
        widest = np.full(outputs, int(np.argmax(scaled)) % inputs)
        peak = np.full(outputs, scaled.max() ** 2)
    parts = factor * reach * peak
    total.noise += float(parts.sum() * heard.sum())
    slope = np.zeros(inputs)
    np.add.at(slope, widest, 2.0 * parts * heard.sum())
    total.add(kernel.source, slope - 2.0 * parts.sum() * heard)
    if not kernel.per_channel:
        # Per channel the output's scale cancels; per tensor a wide output channel costs all others.
        owner = np.zeros(outputs)
        owner[int(np.argmax(scaled)) // inputs] = 2.0 * parts.sum() * heard.sum()
        total.add(kernel.target, 2.0 * parts * heard.sum() - owner)
