"""Progressive structured pruning of a text-to-semantic model: cut a little, train, look, and go on while it is good."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.data.semantic_corpus import SemanticCorpus
from toolkit.distil.teacher_cache import TeacherLogits
from toolkit.distil.teaching import taught_loss, taught_task
from toolkit.models.gpt_sovits.semantic import SemanticModel, load_semantic
from toolkit.prune.groups import Group, cut, semantic_groups
from toolkit.prune.importance import magnitude_scores, taylor_scores
from toolkit.prune.protection import refuse_protected, verify_protected
from toolkit.prune.selection import channels_to_keep, heads_to_keep
from toolkit.quality.semantic import SemanticQuality, judge_semantic
from toolkit.recipe.shrinking import Prune
from toolkit.train.loop import StepProgress, training_settings
from toolkit.train.trainer import Loss, task_loss, train_semantic

Judge = Callable[[SemanticModel], SemanticQuality]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
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
    cut: SemanticQuality
    quality: SemanticQuality
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pruned:
    """What came of it.

    Attributes:
        model: the smallest that passed; the given one when no round did.
        before: the given model on the held-out sentences.
        rounds: in order; the last one did not pass where pruning stopped early.
        best: number of the round ``model`` is of; 0 is none.
    """

    model: SemanticModel = field(repr=False)
    before: SemanticQuality
    rounds: tuple[Round, ...]
    best: int


def prune_semantic(
    model: SemanticModel,
    corpus: SemanticCorpus,
    settings: Prune,
    *,
    cache: Path | None = None,
    checkpoint_dir: Path | None = None,
    on_round: Callable[[Round, int], None] | None = None,
    on_step: StepProgress | None = None,
    judge: Judge | None = None,
) -> Pruned:
    """Prunes round by round until the target or the gate.

    Args:
        model: in inference mode; it is not changed.
        corpus: what is trained and judged on.
        settings: how much, how, and the gate.
        cache: where teachers' outputs are kept.
        checkpoint_dir: where rounds are kept, and where an interrupted run goes on.
        on_round: told after every round, with how many there are to be.
        on_step: told after every training step, the steps of all rounds counted together.
        judge: judges a model; on the held-out sentences, beside the given model, by default.

    Raises:
        RecipeError: something protected would be cut.
    """
    refuse_protected(semantic_groups(model.config), settings.protect)
    judge = judge or (lambda candidate: judge_semantic(candidate, corpus.held_out, model))
    kept = _Kept(checkpoint_dir, model, corpus, settings)
    before, total = judge(model), planned_rounds(settings)
    loss, task = _taught(model, corpus, settings, cache)
    best, best_number, current, rounds = model, 0, model, []
    for number in range(1, total + 1):
        done = kept.read(number)
        if done is None:
            smaller = _cut_model(current, corpus, settings, model, number)
            hurt = judge(smaller)
            train_semantic(
                smaller,
                corpus.training,
                replace(training_settings(settings.training, settings.seed), seed=settings.seed + number),
                loss=loss,
                task=f"prune round {number}, {task}",
                checkpoint_dir=kept.training(number),
                on_progress=_counted(on_step, number, total),
            )
            quality = judge(smaller)
            rise = quality.cross_entropy_nats - before.cross_entropy_nats
            fact = Round(
                number=number,
                inners=smaller.config.inners,
                heads=smaller.config.heads,
                parameters=sum(value.numel() for value in smaller.parameters()),
                cut=hurt,
                quality=quality,
                passed=math.isfinite(rise) and rise <= settings.cross_entropy_rise_max,
            )
            kept.write(number, smaller, fact)
        else:
            smaller, fact = done
        rounds.append(fact)
        if on_round is not None:
            on_round(fact, total)
        if not fact.passed:
            break
        best, best_number, current = smaller, number, smaller
    return Pruned(model=best, before=before, rounds=tuple(rounds), best=best_number)


def unpruned_control(
    model: SemanticModel,
    corpus: SemanticCorpus,
    settings: Prune,
    rounds: int,
    *,
    cache: Path | None = None,
    checkpoint_dir: Path | None = None,
    on_step: StepProgress | None = None,
) -> SemanticQuality:
    """How the whole model does after as many training steps, with the same loss, as the pruned one had.

    A model that had not learned all it could gets better by any training, pruned or not; this tells one from the other.

    Args:
        model: in inference mode; it is not changed.
        corpus: what is trained and judged on.
        settings: of the pruning it is compared with.
        rounds: how many there were.
        cache: where teachers' outputs are kept.
        checkpoint_dir: where to keep a checkpoint, and to look for one.
        on_step: told after every step.
    """
    same = load_semantic(
        {name: value.clone() for name, value in model.state_dict().items()}, heads=model.config.heads, where="control"
    )
    training = training_settings(settings.training, settings.seed)
    loss, task = _taught(model, corpus, settings, cache)
    train_semantic(
        same, corpus.training, replace(training, steps=training.steps * rounds), loss=loss, task=f"control, {task}",
        checkpoint_dir=checkpoint_dir, on_progress=on_step,
    )  # fmt: skip
    return judge_semantic(same, corpus.held_out, model)


def planned_rounds(settings: Prune) -> int:
    """Rounds until both shares are gone."""
    return math.ceil(round(max(settings.mlp_ratio, settings.heads_ratio) / settings.round_ratio, 9))


def _taught(model: SemanticModel, corpus: SemanticCorpus, settings: Prune, cache: Path | None) -> tuple[Loss, str]:
    """What is made smaller after a cut, and its name: towards the model given and the data, or the data alone.

    A small corpus is soon learned by heart; what the whole model says of it keeps the pruned one from that.
    """
    if settings.teaching is None:
        return task_loss, "data alone"
    told = TeacherLogits(model, corpus.training, cache)
    return taught_loss(told, settings.teaching), taught_task(told, settings.teaching)


def _counted(on_step: StepProgress | None, number: int, total: int) -> StepProgress | None:
    if on_step is None:
        return None
    return lambda step, steps, loss: on_step((number - 1) * steps + step, total * steps, loss)


def _cut_model(
    current: SemanticModel, corpus: SemanticCorpus, settings: Prune, original: SemanticModel, number: int
) -> SemanticModel:
    """The model of the last round without what goes in this one."""
    groups = semantic_groups(current.config)
    if settings.importance == "taylor":
        scores = taylor_scores(current, groups, corpus.training, settings.seed + number)
    else:
        scores = magnitude_scores(current.state_dict(), groups)
    gone, sizes = number * settings.round_ratio, original.config
    mlp, heads = min(settings.mlp_ratio, gone), min(settings.heads_ratio, gone)
    least = {f"h.layers.{i}": math.ceil(n * settings.smallest_ratio) for i, n in enumerate(sizes.inners)}
    keeps: dict[Group, Tensor] = {}
    if mlp:
        keeps |= channels_to_keep(
            {group: score for group, score in scores.items() if group.kind == "mlp"},
            round(sum(sizes.inners) * (1.0 - mlp)),
            multiple=settings.channel_multiple,
            smallest=least,
        )
    left = max(1, math.ceil(round(sizes.heads * (1.0 - heads), 9)))
    if left < current.config.heads:
        keeps |= heads_to_keep({group: score for group, score in scores.items() if group.kind == "heads"}, left)
    weights = cut(current.state_dict(), keeps)
    verify_protected(current.state_dict(), weights, settings.protect)
    return load_semantic(weights, heads=left, where=f"round {number}")


class _Kept:
    """Rounds on disk, under a digest of everything that decides them."""

    def __init__(self, folder: Path | None, model: SemanticModel, corpus: SemanticCorpus, settings: Prune) -> None:
        digest = hashlib.sha256(settings.model_dump_json().encode() + corpus.sha256.encode())
        for name, value in model.state_dict().items():
            digest.update(name.encode() + np.ascontiguousarray(value.numpy()).tobytes())
        self._folder = None if folder is None else folder / digest.hexdigest()[:24]

    def training(self, number: int) -> Path | None:
        """Where a round's training keeps its checkpoint."""
        return None if self._folder is None else self._folder / f"training-{number:02d}"

    def write(self, number: int, model: SemanticModel, fact: Round) -> None:
        """Keeps a finished round."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = self._folder / f".round-{number:02d}.pt.part"
        torch.save({"weights": model.state_dict(), "fact": json.dumps(asdict(fact))}, scratch)
        scratch.replace(self._folder / f"round-{number:02d}.pt")

    def read(self, number: int) -> tuple[SemanticModel, Round] | None:
        """A round an earlier run has finished."""
        path = None if self._folder is None else self._folder / f"round-{number:02d}.pt"
        if path is None or not path.is_file():
            return None
        stored = torch.load(path, weights_only=True)
        told: dict[str, Any] = json.loads(stored["fact"])
        told |= {name: SemanticQuality(**told[name]) for name in ("cut", "quality")}
        told["inners"] = tuple(told["inners"])
        fact = Round(**told)
        return load_semantic(stored["weights"], heads=fact.heads, where=str(path)), fact
