"""Quantisation-aware fine-tuning against the float part's own outputs; deterministic, with checkpoint and resume."""

from __future__ import annotations

import hashlib
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
from toolkit.compress.keras_qat import Ranges, WrapOptions, trained_ranges, unwrap_weights, weight_variables, wrap
from toolkit.compress.precision import PrecisionPlan
from toolkit.compress.windows import Batch, Windows
from toolkit.whole_file import whole_file

if TYPE_CHECKING:
    import tf_keras

    from toolkit.recipe.schema import Finetune

Masks = Mapping[str, Mapping[int, np.ndarray]]
"""Layer name to what pruning kept: index among the layer's weights to where they are not zero."""
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
    masks: Masks | None = None,
    checkpoint_dir: Path | None = None,
    on_progress: StepProgress | None = None,
) -> Finetuned:
    """Trains weights and ranges so that the quantised part gives what the float part gives.

    Windows of the calibration inputs, or whole ones (see `Windows`), are the training set; every eighth input is held
    out and decides whether the result is kept. Layers that are to have int8 weights beside float activations are
    rounded as the file stores them; that the kernels round their inputs too, row by row, is not simulated. Learning
    rate (relative to the size of each weight): linear warm-up, then cosine decay. Weights are averaged exponentially.
    What ``masks`` say was pruned stays zero.

    Raises:
        InputError: fewer than two inputs, or no weight has a gradient (``finetune/no-gradient``).
    """
    tf = frameworks.tensorflow()
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(seed)
    windows = Windows(model, interface, calibration, settings.segment_frames, settings.batch_size)
    teacher = rewire.rebuild(model, lambda layer, inputs, copy: rewire.call(copy(), inputs), windows.shapes)
    rewire.copy_weights(model, teacher)
    student = wrap(model, plan, ranges, WrapOptions(training=True, shapes=windows.shapes))
    trainer = _Trainer(student, teacher, settings, f"{interface.spec.name}|{settings.model_dump_json()}|{seed}")
    trainer.keep_pruned(weight_variables(student), masks or {})
    before = trainer.held_out(windows)
    first, losses = trainer.restore(checkpoint_dir)
    for step in range(first, settings.steps):
        losses.append(trainer.step(windows.training(np.random.default_rng((seed, step))), step, settings.steps))
        if on_progress is not None:
            on_progress(step + 1, settings.steps, losses[-1])
        if checkpoint_dir is not None and (step + 1) % settings.checkpoint_every_steps == 0:
            trainer.save(checkpoint_dir, step + 1, losses)
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


class _Trainer:
    """One student, its teacher, the optimiser and the running average of the weights."""

    def __init__(self, student: Any, teacher: Any, settings: Finetune, task: str) -> None:
        tf = frameworks.tensorflow()
        from toolkit.compress.losses import LOSSES

        self.student, self.teacher, self.loss = student, teacher, LOSSES[settings.loss]
        self.rate = settings.learning_rate
        ends = [v for v in student.trainable_variables if _name(v).endswith(("_low", "_high"))]
        known = {id(variable) for variable in ends}
        self.weights = [v for v in learned_variables(student) if id(v) not in known]
        self.ends = ends
        self.variables = [*self.weights, *self.ends]
        # Relative steps: equalisation makes kernels of very different sizes, and ranges follow their tensors.
        sizes = [max(float(tf.sqrt(tf.reduce_mean(tf.square(v)))), _SMALLEST) for v in self.variables]
        self.sizes = [*sizes[: len(self.weights)], *(_RANGE_RATE * size for size in sizes[len(self.weights) :])]
        self.first = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.variables]
        self.second = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.variables]
        self.average = [tf.Variable(v, trainable=False) for v in self.variables]
        self._sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.variables]
        self._kept: list[Any] = [None] * len(self.variables)
        self._identity = _identity(task, self.variables)
        self._gather = tf.function(self._add_slopes, autograph=False)
        self._move = tf.function(self._move_weights, autograph=False)
        self._judge = tf.function(self._loss_of, autograph=False)

    def keep_pruned(self, variables: Mapping[str, Sequence[Any]], masks: Masks) -> None:
        """Holds weights at zero that pruning has set to zero."""
        tf = frameworks.tensorflow()
        places = {id(variable): place for place, variable in enumerate(self.variables)}
        for layer, kept in masks.items():
            for index, mask in kept.items():
                variable = variables[layer][index] if layer in variables else None
                if variable is not None and id(variable) in places and tuple(variable.shape) == mask.shape:
                    self._kept[places[id(variable)]] = tf.constant(mask.astype(np.float32))

    def step(self, batches: list[Batch], step: int, steps: int) -> float:
        """Trains on the mean loss over some batches; returns it."""
        tf = frameworks.tensorflow()
        warm = max(1, int(steps * _WARMUP_RATIO))
        rate = self.rate * min(1.0, (step + 1) / warm) * 0.5 * (1.0 + math.cos(math.pi * step / max(steps, 1)))
        for total in self._sums:
            total.assign(tf.zeros_like(total))
        losses = [float(self._gather([tf.constant(value) for value in batch])) for batch in batches]
        self._move(tf.constant(rate, tf.float32), tf.constant(float(step + 1)), tf.constant(float(len(batches))))
        return float(np.mean(losses))

    def held_out(self, windows: Windows) -> float:
        """Mean loss over the held-out windows."""
        tf = frameworks.tensorflow()
        found = [float(self._judge([tf.constant(value) for value in batch], False)) for batch in windows.held_out()]
        return float(np.mean(found))

    def use_average(self) -> None:
        """Puts the averaged weights in place."""
        for variable, value in zip(self.variables, self.average, strict=True):
            variable.assign(value)

    def save(self, directory: Path, step: int, losses: Sequence[float]) -> None:
        """Writes everything a later run needs to go on from here."""
        directory.mkdir(parents=True, exist_ok=True)
        arrays = {f"{kind}{i}": v.numpy() for kind, group in self._state().items() for i, v in enumerate(group)}
        with whole_file(directory / _CHECKPOINT) as scratch:
            np.savez(scratch, step=step, losses=np.asarray(losses), task=self._identity, **arrays)

    def restore(self, directory: Path | None) -> tuple[int, list[float]]:
        """Takes up a checkpoint of the same part, weights and settings, if there is one."""
        path = None if directory is None else directory / _CHECKPOINT
        if path is None or not path.exists():
            return 0, []
        with np.load(path) as stored:
            if "task" not in stored or str(stored["task"]) != self._identity:
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

    def _add_slopes(self, batch: list[Any]) -> Any:
        """Adds the gradient of a batch's loss to the sums; returns the loss."""
        tf = frameworks.tensorflow()
        with tf.GradientTape() as tape:
            loss = self._loss_of(batch, True)
        slopes = tape.gradient(loss, self.variables)
        if all(slope is None for slope in slopes):
            raise InputError(
                "no weight of the part has a gradient",
                code="finetune/no-gradient",
                where=f"part {self.student.name!r}",
                hint="its outputs do not depend on any weight by differentiable operators; set finetune.steps to 0",
            )
        for total, slope in zip(self._sums, slopes, strict=True):
            if slope is not None:  # a table looked up with ids gives rows only
                total.assign_add(tf.convert_to_tensor(slope))
        return loss

    def _move_weights(self, rate: Any, count: Any, batches: Any) -> None:
        tf = frameworks.tensorflow()
        slopes, _ = tf.clip_by_global_norm([total / batches for total in self._sums], 1.0)
        rows = zip(self.variables, slopes, self.sizes, self.first, self.second, self.average, self._kept, strict=True)
        for variable, slope, size, first, second, average, kept in rows:
            first.assign(0.9 * first + 0.1 * slope)
            second.assign(0.99 * second + 0.01 * tf.square(slope))
            move = first / (1.0 - 0.9**count) / (tf.sqrt(second / (1.0 - 0.99**count)) + 1e-8)
            variable.assign_sub(rate * size * (move if kept is None else move * kept))
            average.assign(_AVERAGE_DECAY * average + (1.0 - _AVERAGE_DECAY) * variable)


def learned_variables(model: Any) -> list[Any]:
    """Weights that were learned once: kernels, biases, tables, gains and shifts of channels.

    Constants of the graph are weights too (`ConstantMath`). Those of one number, like the epsilon of a norm, and those
    of several axes, like the diagonals of relative attention, are part of the function and stay.
    """
    fixed = {
        id(variable)
        for layer in model.layers
        if type(inner := getattr(layer, "layer", layer)).__name__ in ("ConstantMath", "Constant")
        for variable in inner.weights
        if variable.shape.rank != 1 or variable.shape[0] == 1
    }
    return [variable for variable in model.trainable_variables if id(variable) not in fixed]


def _name(variable: Any) -> str:
    return variable.name.rpartition("/")[2].partition(":")[0]


def _identity(task: str, variables: Sequence[Any]) -> str:
    """Digest of what is asked and of the weights it starts from, so that no other part's checkpoint is taken up."""
    digest = hashlib.sha256(task.encode())
    for variable in variables:
        digest.update(f"{variable.name}{tuple(variable.shape)}".encode())
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()
