"""What fine-tuning is fed: windows of signals where a part can be cut along time, else whole samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import InputError
from converters.spec import Arrays, Interface
from toolkit.compress.observe import target_inputs

if TYPE_CHECKING:
    import tf_keras

_HELD_OUT_EVERY = 8
_HELD_OUT_BATCHES = 4

Batch = list[np.ndarray]
"""One array for each input of the part, in Keras' layout."""


class Windows:
    """Training and held-out inputs of a part.

    A part is cut when all its inputs are signals ``[1, 1, time, channels]`` of one length (or of a single frame, like
    a style) and none of its layers holds that length: windows of ``frames`` frames are then stacked to batches. Any
    other part, with ids, caches or attention biases among its inputs, has its static shapes and a batch of 1 built in:
    it is fed whole samples one by one, and their gradients are averaged.

    Attributes:
        window: frames of a window; ``None`` when samples stay whole.
        shapes: input shapes to rebuild the part with, by input name; ``None`` when they stay.

    Raises:
        InputError: fewer than two samples.
    """

    def __init__(
        self, model: tf_keras.Model, interface: Interface, calibration: Sequence[Arrays], frames: int, batch: int
    ) -> None:
        if len(calibration) < 2:
            raise InputError(
                f"fine-tuning needs at least 2 calibration inputs, not {len(calibration)}", where=interface.spec.name
            )
        names = [spec.name for spec in interface.spec.inputs]
        samples: list[Batch] = list(target_inputs(interface, calibration))
        self._length = _common_length(model, samples[0])
        self.window = None if self._length is None else min(frames, self._length)
        self._batch = batch
        self.shapes = (
            None
            if self.window is None
            else {
                name: (batch, 1, self.window if self._is_long(value) else 1, value.shape[3])
                for name, value in zip(names, samples[0], strict=True)
            }
        )
        self._held = samples[::_HELD_OUT_EVERY]
        self._used = [sample for index, sample in enumerate(samples) if index % _HELD_OUT_EVERY]

    def training(self, generator: np.random.Generator) -> list[Batch]:
        """Random inputs of one step: one batch of windows, or as many whole samples."""
        picked = [self._used[int(generator.integers(len(self._used)))] for _ in range(self._batch)]
        if self.window is None:
            return picked
        return [_stacked([self._cut(sample, generator) for sample in picked])]

    def held_out(self) -> list[Batch]:
        """Batches of the held-out inputs, always the same."""
        if self.window is None:
            return self._held
        generator = np.random.default_rng(0)
        picked = [
            self._cut(self._held[index % len(self._held)], generator)
            for index in range(_HELD_OUT_BATCHES * self._batch)
        ]
        return [_stacked(picked[start : start + self._batch]) for start in range(0, len(picked), self._batch)]

    def _is_long(self, value: np.ndarray) -> bool:
        return value.shape[2] == self._length

    def _cut(self, sample: Batch, generator: np.random.Generator) -> Batch:
        signals = [value for value in sample if self._is_long(value)]
        masks = [value for value in signals if value.shape[-1] == 1]
        spoken = int(masks[0].sum()) if masks else signals[0].shape[2]
        start = int(generator.integers(max(spoken - (self.window or 0), 0) + 1))
        return [value[:, :, start : start + (self.window or 0)] if self._is_long(value) else value for value in sample]


def _common_length(model: Any, sample: Batch) -> int | None:
    """The time length all signals share, if the part can be built with another one."""
    if any(value.ndim != 4 or value.shape[1] != 1 for value in sample):
        return None
    lengths = {value.shape[2] for value in sample} - {1}
    if len(lengths) != 1 or any(_holds_length(layer) for layer in model.layers):
        return None
    return lengths.pop()


def _holds_length(layer: Any) -> bool:
    return type(layer).__name__ == "Reshape" or bool(getattr(layer, "bakes_length", False))


def _stacked(samples: list[Batch]) -> Batch:
    return [np.concatenate(parts, axis=0) for parts in zip(*samples, strict=True)]
