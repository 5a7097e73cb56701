"""Best scales are found by short cuts that give the same bits as the plain sums, written out here."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.compress import noise_model
from toolkit.compress.noise_model import TensorNoise, WeightNoise, best_scales, predict

SIZES = {"a": 12, "b": 40, "c": 7}
STEPS = 60


def _plain(tensors, kernels, logs):
    """Noise and slopes of every source, each sum in full."""
    noise, slopes = 0.0, {}

    def add(stream, slope):
        if stream:
            slopes[stream] = slopes.get(stream, 0.0) + slope

    for tensor in tensors:
        scale = np.exp(logs[tensor.stream]) if tensor.stream else np.ones_like(tensor.gain)
        high, low = np.maximum(tensor.high, 1e-9) / scale, np.maximum(-tensor.low, 1e-9) / scale
        top, bottom = int(np.argmax(high)), int(np.argmax(low))
        span, reach, factor = high[top] + low[bottom], tensor.gain * scale**2, 1.0 / (255.0**2 * 12.0)
        noise += factor * span**2 * float(reach.sum())
        slope = factor * span**2 * 2.0 * reach
        slope[top] -= factor * 2.0 * span * high[top] * reach.sum()
        slope[bottom] -= factor * 2.0 * span * low[bottom] * reach.sum()
        add(tensor.stream, slope)
    for kernel in kernels:
        outputs, inputs = kernel.peak.shape
        source = np.exp(logs[kernel.source]) if kernel.source else np.ones(inputs)
        target = np.exp(logs[kernel.target]) if kernel.target else np.ones(outputs)
        scaled = kernel.peak * source[None, :] / target[:, None]
        heard, factor = kernel.power / source**2, kernel.taps / (127.0**2 * 12.0)
        widest = np.argmax(scaled, axis=1) if kernel.per_channel else np.full(outputs, int(np.argmax(scaled)) % inputs)
        peak = scaled[np.arange(outputs), widest] ** 2 if kernel.per_channel else np.full(outputs, scaled.max() ** 2)
        parts = factor * (kernel.gain * target**2) * peak
        noise += float(parts.sum() * heard.sum())
        slope = np.zeros(inputs)
        np.add.at(slope, widest, 2.0 * parts * heard.sum())
        add(kernel.source, slope - 2.0 * parts.sum() * heard)
        if not kernel.per_channel:
            owner = np.zeros(outputs)
            owner[int(np.argmax(scaled)) // inputs] = 2.0 * parts.sum() * heard.sum()
            add(kernel.target, 2.0 * parts * heard.sum() - owner)
    return noise, slopes


def _plain_scales(tensors, kernels):
    logs = {name: np.zeros(size) for name, size in SIZES.items()}
    first, second = ({name: np.zeros(size) for name, size in SIZES.items()} for _ in range(2))
    best, kept = np.inf, logs
    for step in range(1, STEPS + 1):
        noise, slopes = _plain(tensors, kernels, logs)
        if noise < best:
            best, kept = noise, dict(logs)
        rate = 0.05 * (1.0 - step / (STEPS + 1)) + 1e-4
        for name in logs:
            slope = np.asarray(slopes.get(name, np.zeros_like(logs[name]))) / max(noise, 1e-300)
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.99 * second[name] + 0.01 * slope**2
            move = first[name] / (1 - 0.9**step) / (np.sqrt(second[name] / (1 - 0.99**step)) + 1e-8)
            logs[name] = logs[name] - rate * move
    return {name: np.exp(value - value.mean()) for name, value in kept.items()}


def _sources(seed):
    """Tensors and kernels in and out of every kind of stream, and of none; float32 as calibration gives them."""
    draw = np.random.default_rng(seed)

    def positive(*shape):
        return np.exp(draw.standard_normal(shape)).astype(np.float32)

    tensors = [
        TensorNoise(stream=stream, low=-positive(size), high=positive(size), gain=positive(size).astype(np.float64))
        for stream, size in (*SIZES.items(), ("", 5), ("b", 40))
    ]
    kernels = [
        WeightNoise(
            source=source, target=target, taps=3, per_channel=per_channel,
            # As `equalise` turns a kernel: rows that do not lie one after the other, too.
            peak=positive(SIZES.get(target, 9), SIZES.get(source, 6)) if per_channel
            else positive(SIZES.get(source, 6), SIZES.get(target, 9)).T,
            power=positive(SIZES.get(source, 6)).astype(np.float64),
            gain=positive(SIZES.get(target, 9)).astype(np.float64),
        )
        for source in ("a", "b", "") for target in ("b", "c", "") for per_channel in (True, False)
    ]  # fmt: skip
    return tensors, kernels


@pytest.mark.parametrize("seed", range(3))
def test_scales_are_those_of_the_plain_sums_bit_for_bit(seed):
    tensors, kernels = _sources(seed)
    found, wanted = best_scales(tensors, kernels, SIZES, STEPS), _plain_scales(tensors, kernels)
    for name in SIZES:
        np.testing.assert_array_equal(found[name], wanted[name])
    logs = {name: np.log(scale) for name, scale in wanted.items()}
    assert predict(tensors, kernels, wanted) == _plain(tensors, kernels, logs)[0]


def test_a_short_cut_taken_in_the_wrong_place_is_noticed(monkeypatch):
    """The twin: rows' largest magnitudes taken for those of the kernel as the streams scale it."""
    tensors, kernels = _sources(0)
    real = noise_model._add_kernel

    def hasty(kernel, total, logs, *, rows, room):
        real(kernel, total, logs, rows=0.999999 * rows, room=room)

    monkeypatch.setattr(noise_model, "_add_kernel", hasty)
    found, wanted = best_scales(tensors, kernels, SIZES, STEPS), _plain_scales(tensors, kernels)
    assert any(not np.array_equal(found[name], wanted[name]) for name in SIZES)
