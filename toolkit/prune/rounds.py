"""Progressive pruning, whatever is pruned: cut a little, train, look, and go on while it is good.

A kind of model (`semantic`, `voice`) knows how it is cut, trained and judged; here is what is the same for all: the
order, the stop at the first round that does not hold, the smallest that did, and the rounds on disk.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from toolkit.recipe.shrinking import Pruning
from toolkit.train.loop import StepProgress
from toolkit.whole_file import whole_file

Model = TypeVar("Model")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What pruning changes of a model.

    Attributes:
        inners: channels each layer has left.
        heads: heads every layer has left.
        parameters: of the whole model.
    """

    inners: tuple[int, ...]
    heads: int
    parameters: int


@dataclass(frozen=True, kw_only=True)
class Round(Generic[Found]):
    """One round.

    Attributes:
        number: from 1.
        inners: channels each layer has left.
        heads: heads every layer has left.
        parameters: of the whole model.
        cut: right after the cut, before any training.
        quality: after training.
        passed: whether the gate held.
    """

    number: int
    inners: tuple[int, ...]
    heads: int
    parameters: int
    cut: Found
    quality: Found
    passed: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Pruned(Generic[Model, Found]):
    """What came of it.

    Attributes:
        model: the smallest that passed; the given one when no round did.
        before: the given model on the held-out sentences.
        rounds: in order; the last one did not pass where pruning stopped early.
        best: number of the round ``model`` is of; 0 is none.
    """

    model: Model = field(repr=False)
    before: Found
    rounds: tuple[Round[Found], ...]
    best: int

    @property
    def quality(self) -> Found:
        """Of ``model``."""
        return self.rounds[self.best - 1].quality if self.best else self.before


class Prunable(Protocol[Model, Found]):
    """A model that is pruned round by round. A round depends on the model it is given and its number only."""

    @property
    def digest(self) -> str:
        """Of everything that decides the rounds."""
        ...

    def cut(self, current: Model, number: int) -> Model:
        """The model of the last round without what goes in this one."""
        ...

    def train(self, smaller: Model, number: int, checkpoint_dir: Path | None, on_step: StepProgress | None) -> None:
        """Trains in place what a cut left."""
        ...

    def judge_cut(self, model: Model) -> Found:
        """How a model does right after the cut."""
        ...

    def judge(self, model: Model) -> Found:
        """How a model does."""
        ...

    def holds(self, found: Found, before: Found) -> bool:
        """Whether the gate lets a round pass that was found so, of a model that was found as ``before``."""
        ...

    def sizes(self, model: Model) -> Sizes:
        """What is left of it."""
        ...

    def weights(self, model: Model) -> Mapping[str, Tensor]:
        """What must be kept of a round."""
        ...

    def restored(self, weights: Mapping[str, Tensor], heads: int, where: str) -> Model:
        """The model of a round that was kept; ``where`` is named in errors."""
        ...

    def quality(self, told: Mapping[str, Any]) -> Found:
        """What was found, from its fields."""
        ...


def prune_rounds(
    model: Model,
    kind: Prunable[Model, Found],
    total: int,
    *,
    checkpoint_dir: Path | None = None,
    on_round: Callable[[Round[Found], int], None] | None = None,
    on_step: StepProgress | None = None,
) -> Pruned[Model, Found]:
    """Prunes round by round until the target or the gate.

    Args:
        model: what is given; it is not changed.
        kind: how it is cut, trained and judged.
        total: rounds to the target; see `planned_rounds`.
        checkpoint_dir: where rounds are kept, and where an interrupted run goes on.
        on_round: told after every round, with how many there are to be.
        on_step: told after every training step, the steps of all rounds counted together.
    """
    kept = _Kept(checkpoint_dir, kind)
    before = kind.judge(model)
    best, best_number, current, rounds = model, 0, model, []
    for number in range(1, total + 1):
        done = kept.read(number)
        if done is None:
            smaller = kind.cut(current, number)
            hurt = kind.judge_cut(smaller)
            kind.train(smaller, number, kept.training(number), _counted(on_step, number, total))
            quality, sizes = kind.judge(smaller), kind.sizes(smaller)
            fact = Round(
                number=number,
                inners=sizes.inners,
                heads=sizes.heads,
                parameters=sizes.parameters,
                cut=hurt,
                quality=quality,
                passed=kind.holds(quality, before),
            )
            kept.write(smaller, fact)
        else:
            smaller, fact = done
        rounds.append(fact)
        if on_round is not None:
            on_round(fact, total)
        if not fact.passed:
            break
        best, best_number, current = smaller, number, smaller
    return Pruned(model=best, before=before, rounds=tuple(rounds), best=best_number)


def planned_rounds(settings: Pruning) -> int:
    """Rounds until both shares are gone."""
    return rounds_for(max(settings.mlp_ratio, settings.heads_ratio), settings)


def rounds_for(share: float, settings: Pruning) -> int:
    """Rounds until a share is gone."""
    return math.ceil(round(share / settings.round_ratio, 9))


def _counted(on_step: StepProgress | None, number: int, total: int) -> StepProgress | None:
    if on_step is None:
        return None
    return lambda step, steps, loss: on_step((number - 1) * steps + step, total * steps, loss)


class _Kept(Generic[Model, Found]):
    """Rounds on disk, under a digest of everything that decides them."""

    def __init__(self, folder: Path | None, kind: Prunable[Model, Found]) -> None:
        self._kind = kind
        self._folder = None if folder is None else folder / kind.digest[:24]

    def training(self, number: int) -> Path | None:
        """Where a round's training keeps its checkpoint."""
        return None if self._folder is None else self._folder / f"training-{number:02d}"

    def write(self, model: Model, fact: Round[Found]) -> None:
        """Keeps a finished round."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        content = {"weights": dict(self._kind.weights(model)), "fact": json.dumps(asdict(fact))}
        with whole_file(self._folder / f"round-{fact.number:02d}.pt") as scratch:
            torch.save(content, scratch)

    def read(self, number: int) -> tuple[Model, Round[Found]] | None:
        """A round an earlier run has finished."""
        path = None if self._folder is None else self._folder / f"round-{number:02d}.pt"
        if path is None or not path.is_file():
            return None
        stored = torch.load(path, weights_only=True)
        told: dict[str, Any] = json.loads(stored["fact"])
        told |= {name: self._kind.quality(told[name]) for name in ("cut", "quality")}
        told["inners"] = tuple(told["inners"])
        fact: Round[Found] = Round(**told)
        return self._kind.restored(stored["weights"], fact.heads, str(path)), fact
