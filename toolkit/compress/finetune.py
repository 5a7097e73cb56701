"""Quantisation-aware fine-tuning against the float part's own outputs; deterministic, with checkpoint and resume."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import frameworks
from converters.errors import InputError
from converters.spec import Arrays, Interface
from toolkit.compress import rewire
from toolkit.compress.keras_qat import Ranges, WrapOptions, trained_ranges, unwrap_weights, wrap
from toolkit.compress.precision import PrecisionPlan

if TYPE_CHECKING:
    import tf_keras

    from toolkit.recipe.schema import Finetune

StepProgress = Callable[[int, int, float], None]
"""``on_progress(step, steps, loss)`` after every step."""

_CHECKPOINT = "finetune.npz"
_AVERAGE_DECAY = 0.98
_SMALLEST = 1e-6
# Ranges are calibrated already; wider ones clip less but hiss more.
_RANGE_RATE = 0.1
_WARMUP_RATIO = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetuned:
    """What fine-tuning left.

    Attributes:
        model: plain float model with the trained weights (averaged over the last steps).
        ranges: trained ranges.
        losses: training loss of every step.
        held_out: loss on held-out calibration windows before and after.
        kept: whether the trained weights are used; they are not when the held-out loss did not fall.
    """

    model: tf_keras.Model
    ranges: dict[str, tuple[float, float]]
    losses: tuple[float, ...]
    held_out: tuple[float, float]
    kept: bool


def finetune(
    model: tf_keras.Model,
    interface: Interface,
    plan: PrecisionPlan,
    ranges: Ranges,
    calibration: Sequence[Arrays],
    settings: Finetune,
    *,
    seed: int,
    checkpoint_dir: Path | None = None,
    on_progress: StepProgress | None = None,
) -> Finetuned:
    """Trains weights and ranges so that the quantised part gives what the float part gives.

    Windows of the calibration inputs are the training set; every eighth input is held out and decides whether the
    result is kept. Learning rate (relative to the size of each weight): linear warm-up, then cosine decay. Weights are
    averaged exponentially.
    """
    tf = frameworks.tensorflow()
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(seed)
    windows = Windows(interface, calibration, settings.segment_frames, settings.batch_size)
    teacher = rewire.rebuild(model, lambda layer, inputs, copy: rewire.call(copy(), inputs), windows.shapes)
    rewire.copy_weights(model, teacher)
    student = wrap(model, plan, ranges, WrapOptions(training=True, shapes=windows.shapes))
    trainer = _Trainer(student, teacher, settings)
    before = trainer.held_out(windows)
    first, losses = trainer.restore(checkpoint_dir, settings, seed)
    for step in range(first, settings.steps):
        losses.append(trainer.step(windows.training(np.random.default_rng((seed, step))), step, settings.steps))
        if on_progress is not None:
            on_progress(step + 1, settings.steps, losses[-1])
        if checkpoint_dir is not None and (step + 1) % settings.checkpoint_every_steps == 0:
            trainer.save(checkpoint_dir, settings, seed, step + 1, losses)
    trainer.use_average()
    after = trainer.held_out(windows)
    kept = after < before
    result = rewire.rebuild(model, lambda layer, inputs, copy: rewire.call(copy(), inputs))
    rewire.copy_weights(model, result)
    if kept:
        unwrap_weights(student, result)
    return Finetuned(
        model=result,
        ranges=trained_ranges(student, ranges) if kept else dict(ranges),
        losses=tuple(losses),
        held_out=(before, after),
        kept=kept,
    )


class Windows:
    """Windows of the calibration inputs in Keras' layout, cut along time where the part has a time axis."""

    def __init__(self, interface: Interface, calibration: Sequence[Arrays], frames: int, batch: int) -> None:
        if len(calibration) < 2:
            raise InputError(
                f"fine-tuning needs at least 2 calibration inputs, not {len(calibration)}", where=interface.spec.name
            )
        self.names = [spec.name for spec in interface.spec.inputs]
        self.batch = batch
        self.samples = [
            [interface.layouts[s.name].to_target(np.asarray(arrays[s.name], s.dtype)) for s in interface.spec.inputs]
            for arrays in calibration
        ]
        first = self.samples[0]
        lengths = {value.shape[2] for value in first if value.ndim == 4 and value.shape[1] == 1}
        self.window = min(frames, next(iter(lengths))) if len(lengths) == 1 else None
        self.shapes = {name: self._shape(value.shape) for name, value in zip(self.names, first, strict=True)}
        self.held = self.samples[::8]
        self.used = [sample for index, sample in enumerate(self.samples) if index % 8]

    def training(self, generator: np.random.Generator) -> list[np.ndarray]:
        """One batch of random windows."""
        return self._stack([self._cut(self.used[int(generator.integers(len(self.used)))], generator)
                            for _ in range(self.batch)])  # fmt: skip

    def held_out(self) -> list[list[np.ndarray]]:
        """Batches of the held-out inputs, always the same windows."""
        generator = np.random.default_rng(0)
        picked = [self._cut(self.held[index % len(self.held)], generator) for index in range(4 * self.batch)]
        return [self._stack(picked[start : start + self.batch]) for start in range(0, len(picked), self.batch)]

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.window is None:
            return (self.batch, *shape[1:])
        return (self.batch, shape[1], self.window, shape[3])

    def _cut(self, sample: list[np.ndarray], generator: np.random.Generator) -> list[np.ndarray]:
        if self.window is None:
            return sample
        masks = [value for value in sample if value.shape[-1] == 1]
        spoken = int(masks[0].sum()) if masks else sample[0].shape[2]
        start = int(generator.integers(max(spoken - self.window, 0) + 1))
        return [value[:, :, start : start + self.window] for value in sample]

    @staticmethod
    def _stack(samples: list[list[np.ndarray]]) -> list[np.ndarray]:
        return [np.concatenate(parts, axis=0) for parts in zip(*samples, strict=True)]


class _Trainer:
    """One student, its teacher, the optimiser and the running average of the weights."""

    def __init__(self, student: Any, teacher: Any, settings: Finetune) -> None:
        tf = frameworks.tensorflow()
        from toolkit.compress.losses import LOSSES

        self.student, self.teacher, self.loss = student, teacher, LOSSES[settings.loss]
        self.rate = settings.learning_rate
        ends = [
            v
            for v in student.trainable_variables
            if v.name.split("/")[-1].partition(":")[0].endswith(("_low", "_high"))
        ]
        known = {id(variable) for variable in ends}
        self.weights = [v for v in student.trainable_variables if id(v) not in known]
        self.ends = ends
        self.variables = [*self.weights, *self.ends]
        # Relative steps: equalisation makes kernels of very different sizes, and ranges follow their tensors.
        sizes = [max(float(tf.sqrt(tf.reduce_mean(tf.square(v)))), _SMALLEST) for v in self.variables]
        self.sizes = [*sizes[: len(self.weights)], *(_RANGE_RATE * size for size in sizes[len(self.weights) :])]
        self.first = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.variables]
        self.second = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.variables]
        self.average = [tf.Variable(v, trainable=False) for v in self.variables]
        self._step = tf.function(self._train_step, autograph=False)
        self._judge = tf.function(self._loss_of, autograph=False)

    def step(self, batch: list[np.ndarray], step: int, steps: int) -> float:
        """Trains on one batch; returns its loss."""
        tf = frameworks.tensorflow()
        warm = max(1, int(steps * _WARMUP_RATIO))
        rate = self.rate * min(1.0, (step + 1) / warm) * 0.5 * (1.0 + math.cos(math.pi * step / max(steps, 1)))
        loss = self._step([tf.constant(value) for value in batch], tf.constant(rate, tf.float32),
                          tf.constant(float(step + 1)))  # fmt: skip
        return float(loss)

    def held_out(self, windows: Windows) -> float:
        """Mean loss over the held-out windows."""
        tf = frameworks.tensorflow()
        found = [float(self._judge([tf.constant(value) for value in batch], False)) for batch in windows.held_out()]
        return float(np.mean(found))

    def use_average(self) -> None:
        """Puts the averaged weights in place."""
        for variable, value in zip(self.variables, self.average, strict=True):
            variable.assign(value)

    def save(self, directory: Path, settings: Finetune, seed: int, step: int, losses: Sequence[float]) -> None:
        """Writes everything a later run needs to go on from here."""
        directory.mkdir(parents=True, exist_ok=True)
        arrays = {f"{kind}{i}": v.numpy() for kind, group in self._state().items() for i, v in enumerate(group)}
        scratch = directory / f"{_CHECKPOINT}.partial.npz"
        np.savez(scratch, step=step, losses=np.asarray(losses), settings=_identity(settings, seed), **arrays)
        scratch.replace(directory / _CHECKPOINT)

    def restore(self, directory: Path | None, settings: Finetune, seed: int) -> tuple[int, list[float]]:
        """Takes up a checkpoint of the same settings, if there is one."""
        path = None if directory is None else directory / _CHECKPOINT
        if path is None or not path.exists():
            return 0, []
        with np.load(path) as stored:
            if str(stored["settings"]) != _identity(settings, seed):
                return 0, []
            for kind, group in self._state().items():
                for index, variable in enumerate(group):
                    variable.assign(stored[f"{kind}{index}"])
            return int(stored["step"]), [float(value) for value in stored["losses"]]

    def _state(self) -> Mapping[str, list[Any]]:
        return {"value": self.variables, "first": self.first, "second": self.second, "average": self.average}

    def _loss_of(self, batch: list[Any], training: bool) -> Any:
        many = len(batch) > 1
        target = self.teacher(batch if many else batch[0], training=False)
        output = self.student(batch if many else batch[0], training=training)
        as_list = lambda value: list(value) if isinstance(value, (list, tuple)) else [value]  # noqa: E731
        return self.loss(as_list(target), as_list(output))

    def _train_step(self, batch: list[Any], rate: Any, count: Any) -> Any:
        tf = frameworks.tensorflow()
        with tf.GradientTape() as tape:
            loss = self._loss_of(batch, True)
        slopes, _ = tf.clip_by_global_norm(tape.gradient(loss, self.variables), 1.0)
        rows = zip(self.variables, slopes, self.sizes, self.first, self.second, self.average, strict=True)
        for variable, slope, size, first, second, average in rows:
            first.assign(0.9 * first + 0.1 * slope)
            second.assign(0.99 * second + 0.01 * tf.square(slope))
            move = first / (1.0 - 0.9**count) / (tf.sqrt(second / (1.0 - 0.99**count)) + 1e-8)
            variable.assign_sub(rate * size * move)
            average.assign(_AVERAGE_DECAY * average + (1.0 - _AVERAGE_DECAY) * variable)
        return loss


def _identity(settings: Finetune, seed: int) -> str:
    return f"{settings.model_dump_json()}|{seed}"
