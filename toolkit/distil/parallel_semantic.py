"""Distils a text-to-semantic model into a convolutional one that says all codes of a sentence at once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toolkit.data.semantic_corpus import SemanticCorpus
from toolkit.distil.alignment import aligned
from toolkit.distil.losses import distillation_loss
from toolkit.distil.teacher_cache import TeacherLogits
from toolkit.engine.length_regulator import FRAME_MS
from toolkit.errors import DataError
from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.models.gpt_sovits.semantic_batch import Pair
from toolkit.models.parallel_semantic.batch import TimedBatch, batch_said, timed_batch
from toolkit.models.parallel_semantic.config import ParallelConfig
from toolkit.models.parallel_semantic.model import ParallelSemantic
from toolkit.quality.parallel_semantic import (
    CodesQuality,
    DurationQuality,
    judge_codes,
    judge_durations,
    judge_table,
    judge_teacher,
    predicted_frames,
)
from toolkit.recipe.shrinking import DistilParallel
from toolkit.train.loop import StepProgress, asked, batch_places, train_module, training_settings, weights_digest
from toolkit.train.trainer import lengths_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DistilledParallel:
    """What came of it.

    Attributes:
        model: the student.
        durations: where the durations it learned and is judged by come from: ``data`` or ``alignment``.
        left_out: training sentences that could not be aligned.
        guess_nats: a student that knows nothing.
        table: one that knows the phone of each frame, and no context.
        teacher: on the held-out sentences; it is told the codes before each, and no durations.
        before: the student before it learned, told the durations.
        after: as it is now, likewise.
        evaluation: on other text; ``None`` where the corpus has none.
        timing: its own durations.
        losses: of every step.
        asked: sentences the teacher was asked about; the others were known from an earlier run.
    """

    model: ParallelSemantic = field(repr=False)
    durations: str
    left_out: int
    guess_nats: float
    table: CodesQuality
    teacher: CodesQuality
    before: CodesQuality
    after: CodesQuality
    evaluation: CodesQuality | None
    timing: DurationQuality
    losses: tuple[float, ...] = field(repr=False)
    asked: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimedCorpus:
    """A corpus in which every sentence has durations.

    Attributes:
        corpus: the sentences.
        durations: where they come from: ``data`` or ``alignment``.
    """

    corpus: SemanticCorpus = field(repr=False)
    durations: str


def timed_corpus(corpus: SemanticCorpus, where: str = "training data") -> TimedCorpus:
    """The corpus with durations: its own, or found by alignment where a sentence has none.

    Raises:
        DataError: nothing to train on, or nothing held out, can be aligned.
    """
    groups = (corpus.training, corpus.held_out, corpus.evaluation)
    if all(pair.durations_ms is not None for group in groups for pair in group):
        return TimedCorpus(corpus=corpus, durations="data")
    training, held_out, evaluation = aligned(*groups, where=where)
    if not held_out:
        raise DataError(
            "no held-out sentence has as many codes as phones, so none can be aligned", code="data/unusable",
            where=where, hint="the codes must be 25 a second of the speech the phones are of",
        )  # fmt: skip
    found = SemanticCorpus(training=tuple(training), held_out=tuple(held_out), evaluation=tuple(evaluation))
    return TimedCorpus(corpus=found, durations="alignment")


def distil_parallel(
    teacher: SemanticModel,
    corpus: SemanticCorpus,
    settings: DistilParallel,
    *,
    where: str = "training data",
    cache: Path | None = None,
    checkpoint_dir: Path | None = None,
    on_teacher: Callable[[int, int], None] | None = None,
    on_step: StepProgress | None = None,
) -> DistilledParallel:
    """Trains a student.

    Args:
        teacher: in inference mode.
        corpus: what both are asked about.
        settings: sizes, loss and training.
        where: what the corpus is, for errors.
        cache: where teachers' outputs are kept.
        checkpoint_dir: where to keep a checkpoint of the training, and to look for one.
        on_teacher: told how many sentences the teacher has been asked about.
        on_step: told after every step.

    Raises:
        DataError: the sentences have no durations and cannot be aligned.
        GateFailed: the loss is no number any more.
    """
    timed = timed_corpus(corpus, where)
    pairs, held_out = timed.corpus.training, timed.corpus.held_out
    student = new_parallel(teacher, settings)
    told = TeacherLogits(teacher, pairs, cache)
    known, before = judge_teacher(teacher, held_out), judge_codes(student, held_out, teacher)
    told.fill(on_teacher)
    training, lengths = training_settings(settings.training, settings.seed), lengths_of(pairs)

    def loss_of(step: int) -> Tensor:
        places = batch_places(lengths, training.batch, training.seed, step)
        batch = timed_batch([pairs[place] for place in places])
        return parallel_loss(student, batch, taught_rows(told, pairs, places), settings)

    losses = train_module(
        student, training, loss_of, identity=_identity(student, pairs, told, settings),
        task="convolutional student", checkpoint_dir=checkpoint_dir, on_progress=on_step,
    )  # fmt: skip
    if losses:
        match_lengths(student, pairs)
    evaluation = timed.corpus.evaluation
    return DistilledParallel(
        model=student,
        durations=timed.durations,
        left_out=len(corpus.training) - len(pairs),
        guess_nats=math.log(student.config.codes),
        table=judge_table(pairs, held_out, student.config.codes),
        teacher=known,
        before=before,
        after=judge_codes(student, held_out, teacher),
        evaluation=judge_codes(student, evaluation, teacher) if evaluation else None,
        timing=judge_durations(student, held_out, pairs),
        losses=tuple(losses),
        asked=told.asked,
    )


def new_parallel(teacher: SemanticModel, settings: DistilParallel) -> ParallelSemantic:
    """A student that knows nothing yet, for the teacher's phones and codes."""
    sizes = settings.model_dump(
        include={"width", "expansion", "phone_blocks", "frame_blocks", "phone_kernel", "frame_kernel"}
    )
    torch.manual_seed(settings.seed)
    config = ParallelConfig(symbols=teacher.config.symbols, codes=teacher.config.stop_token, **sizes)
    return ParallelSemantic(config).eval()


def parallel_loss(student: ParallelSemantic, batch: TimedBatch, taught: Tensor, settings: DistilParallel) -> Tensor:
    """``alpha * T^2 * KL + (1 - alpha) * cross-entropy`` of the codes, and the squared error of log durations.

    Args:
        student: who learns.
        batch: sentences and durations.
        taught: the teacher's logits ``[n, codes]`` of the batch's codes.
        settings: temperature, weights, dropout.
    """
    logits, log_durations = batch_said(student, batch, settings.training.dropout)
    codes = distillation_loss(logits, taught, batch.predicted, temperature=settings.temperature, alpha=settings.alpha)
    off = (log_durations - batch.log_durations).square() * batch.phone_mask
    return codes + settings.duration_weight * off.sum() / batch.phone_mask.sum()


def taught_rows(told: TeacherLogits, pairs: Sequence[Pair], places: Sequence[int]) -> Tensor:
    """The teacher's logits ``[n, codes]`` of the sentences' codes, without those of the stop token."""
    rows = told.of(places)
    ends = np.cumsum([len(pairs[place].codes) + 1 for place in places]) - 1
    kept = torch.ones(len(rows), dtype=torch.bool)
    kept[torch.from_numpy(ends)] = False
    return rows[kept][:, :-1]


def match_lengths(student: ParallelSemantic, pairs: Sequence[Pair]) -> float:
    """Makes all sentences together as long as those of the data; returns what durations were multiplied by.

    The mean of logarithms is below the logarithm of the mean: speech would be too fast otherwise.
    """
    said = sum(float(predicted_frames(student, pair.phones).sum()) for pair in pairs)
    factor = sum(float(pair.told_durations_ms.sum()) for pair in pairs) / FRAME_MS / said
    with torch.no_grad():
        student.phones.duration.bias += math.log(factor)
    return factor


def _identity(student: ParallelSemantic, pairs: Sequence[Pair], told: TeacherLogits, settings: DistilParallel) -> str:
    """Digest of what is asked, of the weights it starts from, of the teacher and of the data."""
    training = training_settings(settings.training, settings.seed)
    weights = (settings.temperature, settings.alpha, settings.duration_weight)
    digest = hashlib.sha256(f"parallel|{asked(training)}|{weights}|{told.digest}|{weights_digest(student)}".encode())
    for pair in pairs:
        digest.update(pair.told_durations_ms.astype("<i4").tobytes())
    return digest.hexdigest()
