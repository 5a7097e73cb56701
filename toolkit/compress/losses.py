"""What fine-tuning minimises: the distance to the float model's own output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import tensorflow as tf

LossName = Literal["output-matching", "vocoder"]
_FFT_SIZES = (256, 1024)
# Power of a bin at -80 dB of full scale: below any hiss that is heard.
_FLOOR = 1e-6
_NEIGHBOURS = 5


def output_matching(target: Sequence[tf.Tensor], output: Sequence[tf.Tensor]) -> tf.Tensor:
    """Mean squared error over the target's power, averaged over the outputs."""
    terms = [
        tf.reduce_mean(tf.square(o - t)) / (tf.reduce_mean(tf.square(t)) + 1e-12)
        for t, o in zip(target, output, strict=True)
    ]
    return tf.add_n(terms) / len(terms)


def vocoder(target: Sequence[tf.Tensor], output: Sequence[tf.Tensor]) -> tf.Tensor:
    """Waveform error plus the noise-to-signal ratio of a multi-resolution STFT.

    The error of each time-frequency bin is divided by the local power of the target (a 5 by 5 neighbourhood), so a
    hiss in a pause costs as much as the same ratio of noise in a vowel. Both the logarithm of the ratio, which rewards
    quieter noise everywhere, and its root, which punishes loud errors, are averaged.
    """
    total = output_matching(target, output)
    for t, o in zip(target, output, strict=True):
        wave, found = tf.reshape(t, [t.shape[0], -1]), tf.reshape(o, [o.shape[0], -1])
        sizes = [size for size in _FFT_SIZES if wave.shape[1] >= size]
        for size in sizes:
            total += _noise_to_signal(wave, found, size) / len(sizes)
    return total


def _noise_to_signal(target: tf.Tensor, output: tf.Tensor, size: int) -> tf.Tensor:
    expected = tf.signal.stft(target, size, size // 4)
    error = tf.signal.stft(output - target, size, size // 4)
    power = tf.square(tf.math.real(expected)) + tf.square(tf.math.imag(expected))
    local = tf.nn.avg_pool2d(power[..., None], _NEIGHBOURS, 1, "SAME")[..., 0]
    ratio = (tf.square(tf.math.real(error)) + tf.square(tf.math.imag(error))) / (local + _FLOOR * size / 256.0)
    return tf.reduce_mean(tf.math.log(1e-3 + ratio)) / 2.3026 + 0.2 * tf.reduce_mean(tf.sqrt(ratio + 1e-6))


LOSSES = {"output-matching": output_matching, "vocoder": vocoder}
