"""Distils a text-to-semantic model into a narrower and shallower one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.data.semantic_corpus import SemanticCorpus
from toolkit.distil.student import new_student, student_config
from toolkit.distil.teacher_cache import TeacherLogits
from toolkit.distil.teaching import taught_loss, taught_task
from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.quality.semantic import SemanticQuality, judge_semantic
from toolkit.recipe.shrinking import Distil
from toolkit.train.loop import StepProgress, training_settings
from toolkit.train.trainer import train_semantic


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distilled:
    """What came of it.

    Attributes:
        model: the student.
        teacher: how the teacher does on the held-out sentences.
        before: how the student did before it learned.
        after: how it does now; agreement is with the teacher.
        losses: of every step.
        asked: sentences the teacher was asked about; the others were known from an earlier run.
    """

    model: SemanticModel = field(repr=False)
    teacher: SemanticQuality
    before: SemanticQuality
    after: SemanticQuality
    losses: tuple[float, ...] = field(repr=False)
    asked: int


def distil_semantic(
    teacher: SemanticModel,
    corpus: SemanticCorpus,
    settings: Distil,
    *,
    cache: Path | None = None,
    checkpoint_dir: Path | None = None,
    on_teacher: Callable[[int, int], None] | None = None,
    on_step: StepProgress | None = None,
) -> Distilled:
    """Trains a student.

    Args:
        teacher: in inference mode.
        corpus: what both are asked about.
        settings: sizes, loss and training.
        cache: where teachers' outputs are kept.
        checkpoint_dir: where to keep a checkpoint of the training, and to look for one.
        on_teacher: told how many sentences the teacher has been asked about.
        on_step: told after every step.

    Raises:
        RecipeError: sizes that do not fit together or are larger than the teacher's.
    """
    student = new_student(teacher, student_config(teacher.config, settings), settings)
    known = judge_semantic(teacher, corpus.held_out)
    before = judge_semantic(student, corpus.held_out, teacher)
    told = TeacherLogits(teacher, corpus.training, cache)
    told.fill(on_teacher)
    losses = train_semantic(
        student,
        corpus.training,
        training_settings(settings.training, settings.seed),
        loss=taught_loss(told, settings),
        task=taught_task(told, settings),
        checkpoint_dir=checkpoint_dir,
        on_progress=on_step,
    )
    return Distilled(
        model=student,
        teacher=known,
        before=before,
        after=judge_semantic(student, corpus.held_out, teacher),
        losses=tuple(losses),
        asked=told.asked,
    )
