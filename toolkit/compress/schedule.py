"""When and how far weights are pruned during fine-tuning: TF-MOT's polynomial schedule, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi

_PRUNING_SHARE = 1 / 2
_MOST_UPDATES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningSchedule:
    """Ratio of zeros over the steps of a fine-tuning run (Zhu and Gupta 2017, arXiv:1710.01878).

    Attributes:
        target_ratio: ratio of zeros at ``end_step`` and after.
        end_step: last step that changes the masks; steps count from 1.
        frequency: steps between changes of the masks; divides ``end_step``.
        power: exponent of the polynomial.
    """

    target_ratio: float
    end_step: int
    frequency: int
    power: int = 3

    def ratio_at(self, step: int) -> float:
        """The ratio of zeros the masks are given at ``step``."""
        done = min(1.0, max(0.0, step / self.end_step))
        return self.target_ratio - self.target_ratio * (1.0 - done) ** self.power

    def changes_at(self, step: int) -> bool:
        """Whether the masks change at ``step``."""
        return 0 <= step <= self.end_step and step % self.frequency == 0


def pruning_schedule(target_ratio: float, steps: int) -> PruningSchedule:
    """A schedule for ``steps`` training steps: masks grow in the first half, the other repairs what was cut."""
    growing = max(1, round(steps * _PRUNING_SHARE))
    frequency = max(1, growing // _MOST_UPDATES)
    return PruningSchedule(target_ratio=target_ratio, end_step=growing // frequency * frequency, frequency=frequency)


def learning_rate_share(step: int, steps: int) -> float:
    """Share of the learning rate at ``step``: all of it while masks grow, then down to zero along a cosine."""
    repairing = max(1.0, steps * (1.0 - _PRUNING_SHARE))
    done = min(1.0, max(0.0, (step - 1 - steps * _PRUNING_SHARE) / repairing))
    return 0.5 * (1.0 + cos(pi * done))
