"""Phase-split convolutions equal dilated ones, and have gradients."""

from __future__ import annotations

import numpy as np
import pytest

from converters import frameworks

frameworks.tensorflow()


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("kernel", "dilation", "size"),
    [((1, 3), (1, 5), (1, 37)), ((1, 7), (1, 12), (1, 96)), ((3, 3), (2, 3), (11, 14))],
)
def test_phases_equal_dilation(padding, kernel, dilation, size):
    from toolkit.compress.time_phases import PhasedConv2D, trainable_form

    tf, keras = frameworks.tensorflow(), frameworks.tf_keras()
    plain = keras.layers.Conv2D(4, kernel, dilation_rate=dilation, padding=padding)
    signal = tf.constant(np.random.default_rng(0).standard_normal((2, *size, 3)), tf.float32)
    if padding == "valid" and any(s <= d * (k - 1) for s, d, k in zip(size, dilation, kernel, strict=True)):
        pytest.skip("shorter than the kernel")
    expected = plain(signal)
    phased = trainable_form(plain)
    assert isinstance(phased, PhasedConv2D)
    phased.build(signal.shape)
    phased.set_weights(plain.get_weights())
    with tf.GradientTape() as tape:
        found = phased(signal)
        total = tf.reduce_sum(tf.square(found))
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert float(tf.norm(tape.gradient(total, phased.kernel))) > 0
