"""A text-to-semantic model is pruned round by round: its blocks' channels and its heads; the model given teaches."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from toolkit.data.semantic_corpus import SemanticCorpus
from toolkit.distil.teacher_cache import TeacherLogits
from toolkit.distil.teaching import taught_loss, taught_task
from toolkit.models.gpt_sovits.semantic import SemanticModel, load_semantic
from toolkit.prune.groups import cut, semantic_groups
from toolkit.prune.importance import cross_entropies, unit_scores
from toolkit.prune.protection import refuse_protected, verify_protected
from toolkit.prune.rounds import Pruned, Round, Sizes, planned_rounds, prune_rounds
from toolkit.prune.selection import heads_left, units_to_keep
from toolkit.quality.semantic import SemanticQuality, judge_semantic
from toolkit.recipe.shrinking import Prune
from toolkit.train.loop import StepProgress, training_settings
from toolkit.train.trainer import Loss, task_loss, train_semantic

Judge = Callable[[SemanticModel], SemanticQuality]


def prune_semantic(
    model: SemanticModel,
    corpus: SemanticCorpus,
    settings: Prune,
    *,
    cache: Path | None = None,
    checkpoint_dir: Path | None = None,
    on_round: Callable[[Round[SemanticQuality], int], None] | None = None,
    on_step: StepProgress | None = None,
    judge: Judge | None = None,
) -> Pruned[SemanticModel, SemanticQuality]:
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
    loss, task = _taught(model, corpus, settings, cache)
    kind = _Semantic(
        model=model,
        corpus=corpus,
        settings=settings,
        loss=loss,
        task=task,
        judge=judge or (lambda candidate: judge_semantic(candidate, corpus.held_out, model)),
    )
    return prune_rounds(
        model, kind, planned_rounds(settings), checkpoint_dir=checkpoint_dir, on_round=on_round, on_step=on_step
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Semantic:
    """See `rounds.Prunable`.

    Attributes:
        model: what is given.
        corpus: what is trained on.
        settings: how much, how, and the gate.
        loss: what is made smaller after a cut.
        task: its name.
        judge: judges a model.
    """

    model: SemanticModel = field(repr=False)
    corpus: SemanticCorpus = field(repr=False)
    settings: Prune
    loss: Loss
    task: str
    judge: Judge

    @property
    def digest(self) -> str:
        digest = hashlib.sha256(self.settings.model_dump_json().encode() + self.corpus.sha256.encode())
        for name, value in self.model.state_dict().items():
            digest.update(name.encode() + np.ascontiguousarray(value.numpy()).tobytes())
        return digest.hexdigest()

    def cut(self, current: SemanticModel, number: int) -> SemanticModel:
        settings, whole = self.settings, self.model.config
        groups = semantic_groups(current.config)
        losses = cross_entropies(current, self.corpus.training, settings.seed + number)
        scores = unit_scores(settings.importance, current, groups, losses)
        keeps = units_to_keep(scores, settings, number, inners=whole.inners, heads=whole.heads)
        weights = cut(current.state_dict(), keeps)
        verify_protected(current.state_dict(), weights, settings.protect)
        return self.restored(weights, heads_left(settings, number, whole.heads), f"round {number}")

    def train(
        self, smaller: SemanticModel, number: int, checkpoint_dir: Path | None, on_step: StepProgress | None
    ) -> None:
        training = training_settings(self.settings.training, self.settings.seed)
        train_semantic(
            smaller,
            self.corpus.training,
            replace(training, seed=self.settings.seed + number),
            loss=self.loss,
            task=f"prune round {number}, {self.task}",
            checkpoint_dir=checkpoint_dir,
            on_progress=on_step,
        )

    def judge_cut(self, model: SemanticModel) -> SemanticQuality:
        return self.judge(model)

    def holds(self, found: SemanticQuality, before: SemanticQuality) -> bool:
        rise = found.cross_entropy_nats - before.cross_entropy_nats
        return math.isfinite(rise) and rise <= self.settings.cross_entropy_rise_max

    def sizes(self, model: SemanticModel) -> Sizes:
        parameters = sum(value.numel() for value in model.parameters())
        return Sizes(inners=model.config.inners, heads=model.config.heads, parameters=parameters)

    def weights(self, model: SemanticModel) -> Mapping[str, Tensor]:
        return model.state_dict()

    def restored(self, weights: Mapping[str, Tensor], heads: int, where: str) -> SemanticModel:
        return load_semantic(weights, heads=heads, where=where)

    def quality(self, told: Mapping[str, Any]) -> SemanticQuality:
        return SemanticQuality(**told)


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


def _taught(model: SemanticModel, corpus: SemanticCorpus, settings: Prune, cache: Path | None) -> tuple[Loss, str]:
    """What is made smaller after a cut, and its name: towards the model given and the data, or the data alone.

    A small corpus is soon learned by heart; what the whole model says of it keeps the pruned one from that.
    """
    if settings.teaching is None:
        return task_loss, "data alone"
    told = TeacherLogits(model, corpus.training, cache)
    return taught_loss(told, settings.teaching), taught_task(told, settings.teaching)
