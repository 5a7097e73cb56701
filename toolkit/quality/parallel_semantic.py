"""How well the convolutional student tells codes and durations, and what its teacher thinks of what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch.nn import functional

from toolkit.engine.length_regulator import FRAME_MS, frames_of, regulate
from toolkit.engine.sampling import Sampler, SamplingSettings
from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.models.gpt_sovits.semantic_batch import Pair, batch_logits, batch_of
from toolkit.models.gpt_sovits.semantic_loop import generate
from toolkit.models.parallel_semantic.batch import batch_said, timed_batch
from toolkit.models.parallel_semantic.model import ParallelSemantic
from toolkit.quality.semantic import in_groups

_SECONDS_MOST: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesQuality:
    """Over every code of held-out sentences; stop tokens do not count.

    Attributes:
        cross_entropy_nats: mean negative log-likelihood.
        top1_ratio: share in which the likeliest code is the right one.
        agreement_ratio: share in which it is the teacher's likeliest, given the codes before; ``None`` of the teacher.
        codes: how many there were.
    """

    cross_entropy_nats: float
    top1_ratio: float
    agreement_ratio: float | None
    codes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationQuality:
    """How well durations are told.

    Attributes:
        error_ms: mean absolute error of a phone.
        guess_error_ms: the same of the best constant, the median of the training set.
        length_error_ratio: mean absolute error of a sentence's length.
        length_ratio: all sentences together, predicted over real.
    """

    error_ms: float
    guess_error_ms: float
    length_error_ratio: float
    length_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What the teacher thinks of codes somebody says.

    Attributes:
        cross_entropy_nats: of each code given those before it.
        repeat_ratio: share of codes that are the one before them again.
        distinct_ratio: share of a sentence's codes that are different from all others of it, mean over sentences.
        codes: how many there were.
    """

    cross_entropy_nats: float
    repeat_ratio: float
    distinct_ratio: float
    codes: int


@torch.inference_mode()
def judge_codes(model: ParallelSemantic, pairs: Sequence[Pair], teacher: SemanticModel) -> CodesQuality:
    """The student, told when each phone is said."""
    loss, right, agreed, count = 0.0, 0, 0, 0
    for group in in_groups(pairs):
        batch = timed_batch(group)
        logits, _ = batch_said(model, batch)
        wanted, chosen = batch.predicted, logits.argmax(dim=1)
        loss += float(functional.cross_entropy(logits, wanted, reduction="sum"))
        right, count = right + int((chosen == wanted).sum()), count + len(wanted)
        agreed += int((chosen == code_logits(teacher, group).argmax(dim=1)).sum())
    return CodesQuality(
        cross_entropy_nats=loss / count, top1_ratio=right / count, agreement_ratio=agreed / count, codes=count
    )


@torch.inference_mode()
def judge_teacher(teacher: SemanticModel, pairs: Sequence[Pair]) -> CodesQuality:
    """The teacher on the same codes, told those before each and not when phones are said."""
    loss, right, count = 0.0, 0, 0
    for group in in_groups(pairs):
        logits = code_logits(teacher, group)
        wanted = torch.from_numpy(np.concatenate([pair.codes for pair in group])).long()
        loss += float(functional.cross_entropy(logits, wanted, reduction="sum"))
        right, count = right + int((logits.argmax(dim=1) == wanted).sum()), count + len(wanted)
    return CodesQuality(cross_entropy_nats=loss / count, top1_ratio=right / count, agreement_ratio=None, codes=count)


def judge_table(training: Sequence[Pair], pairs: Sequence[Pair], codes: int) -> CodesQuality:
    """A student that knows nothing but the phone in the middle of each frame: how often which code goes with it."""
    symbols = 1 + max(int(pair.phones.max()) for pair in (*training, *pairs))
    counts = np.ones(codes)
    for pair in training:
        counts += np.bincount(pair.codes, minlength=codes)
    table = np.tile(counts / counts.sum(), (symbols, 1))
    for pair in training:
        np.add.at(table, (_middle_phones(pair), pair.codes), 1.0)
    table = np.log(table / table.sum(axis=1, keepdims=True))
    said = np.concatenate([_middle_phones(pair) for pair in pairs])
    wanted = np.concatenate([pair.codes for pair in pairs])
    return CodesQuality(
        cross_entropy_nats=float(-table[said, wanted].mean()),
        top1_ratio=float((table.argmax(axis=1)[said] == wanted).mean()),
        agreement_ratio=None,
        codes=len(wanted),
    )


@torch.inference_mode()
def judge_durations(model: ParallelSemantic, pairs: Sequence[Pair], training: Sequence[Pair]) -> DurationQuality:
    """Durations against those of the data."""
    usual = float(np.median(np.concatenate([pair.told_durations_ms for pair in training])))
    errors, guesses, lengths, real, said = [], [], [], 0.0, 0.0
    for pair in pairs:
        found, wanted = predicted_frames(model, pair.phones) * FRAME_MS, pair.told_durations_ms
        errors.append(np.abs(found - wanted))
        guesses.append(np.abs(usual - wanted))
        lengths.append(abs(found.sum() / wanted.sum() - 1.0))
        real, said = real + wanted.sum(), said + found.sum()
    return DurationQuality(
        error_ms=float(np.concatenate(errors).mean()),
        guess_error_ms=float(np.concatenate(guesses).mean()),
        length_error_ratio=float(np.mean(lengths)),
        length_ratio=float(said / real),
    )


def opinions(
    model: ParallelSemantic, teacher: SemanticModel, pairs: Sequence[Pair], seed: int = 0
) -> dict[str, Opinion]:
    """What the teacher thinks of real codes, of the student's, and of its own.

    Args:
        model: the student.
        teacher: who judges.
        pairs: held-out sentences.
        seed: of what is drawn.
    """
    said = {
        "data": [pair.codes for pair in pairs],
        "student, likeliest, real durations": [student_codes(model, pair.phones, like=pair) for pair in pairs],
        "student, likeliest, own durations": [student_codes(model, pair.phones) for pair in pairs],
        "student, each frame drawn by itself, own durations": [
            student_codes(model, pair.phones, draw=np.random.default_rng([seed, place]))
            for place, pair in enumerate(pairs)
        ],
        "teacher, drawn in turn": [
            _teacher_codes(teacher, pair, np.random.default_rng([seed, place])) for place, pair in enumerate(pairs)
        ],
    }
    return {
        name: _opinion(teacher, [replace(pair, codes=each) for pair, each in zip(pairs, codes, strict=True)])
        for name, codes in said.items()
    }


@torch.inference_mode()
def student_codes(
    model: ParallelSemantic,
    phones: np.ndarray,
    *,
    like: Pair | None = None,
    draw: np.random.Generator | None = None,
) -> np.ndarray:
    """Codes ``[n] int32`` of a sentence.

    Args:
        model: the student.
        phones: ``[Tx]`` ids.
        like: a sentence whose durations are taken; the student's own otherwise.
        draw: draws each frame from its own distribution; the likeliest code otherwise.
    """
    ids, mask = torch.from_numpy(phones[None]).long(), torch.ones(1, 1, len(phones))
    hidden, log_durations = model.phones(ids, mask)
    own = like is None
    placed = regulate(
        frames_of(log_durations.numpy()) if own else like.told_durations_ms / FRAME_MS,
        None if own else len(like.codes),
    )
    rows, timing = hidden @ torch.from_numpy(placed.shares), torch.from_numpy(placed.timing[None])
    logits = model.frames(rows, timing, torch.ones(1, 1, placed.frames))[0].T
    if draw is None:
        return logits.argmax(dim=1).numpy().astype(np.int32)
    chances = torch.softmax(logits.double(), dim=1).cumsum(dim=1).numpy()
    found = (chances < draw.random((len(chances), 1)) * chances[:, -1:]).sum(axis=1)
    return np.minimum(found, chances.shape[1] - 1).astype(np.int32)


@torch.inference_mode()
def predicted_frames(model: ParallelSemantic, phones: np.ndarray) -> np.ndarray:
    """Frames ``[Tx]`` the student gives each phone."""
    ids, mask = torch.from_numpy(phones[None]).long(), torch.ones(1, 1, len(phones))
    return frames_of(model.phones(ids, mask)[1].numpy()).reshape(-1)


@torch.inference_mode()
def code_logits(teacher: SemanticModel, pairs: Sequence[Pair]) -> torch.Tensor:
    """The teacher's logits ``[n, codes]`` of every code given those before it, without its stop token."""
    stop = teacher.config.stop_token
    batch = batch_of(pairs, stop)
    return batch_logits(teacher, batch)[batch.predicted != stop][:, :stop]


def _opinion(teacher: SemanticModel, pairs: Sequence[Pair]) -> Opinion:
    usable = [pair for pair in pairs if len(pair.codes)]
    found = judge_teacher(teacher, usable)
    again = sum(int((pair.codes[1:] == pair.codes[:-1]).sum()) for pair in usable)
    return Opinion(
        cross_entropy_nats=found.cross_entropy_nats,
        repeat_ratio=again / max(1, sum(len(pair.codes) - 1 for pair in usable)),
        distinct_ratio=float(np.mean([len(set(pair.codes.tolist())) / len(pair.codes) for pair in usable])),
        codes=found.codes,
    )


def _teacher_codes(teacher: SemanticModel, pair: Pair, draw: np.random.Generator) -> np.ndarray:
    # Without upstream's penalty on what was said before: it is no part of what the model believes.
    sampler = Sampler(SamplingSettings(repetition_penalty=1.0, top_k=teacher.config.vocabulary), draw)
    made = generate(
        teacher, torch.from_numpy(pair.phones[None]).long(), None, sampler,
        steps_max=_SECONDS_MOST * 1000 // FRAME_MS,
    )  # fmt: skip
    return made.codes.astype(np.int32)


def _middle_phones(pair: Pair) -> np.ndarray:
    ends = np.cumsum(pair.told_durations_ms) / FRAME_MS
    return pair.phones[np.minimum(np.searchsorted(ends, np.arange(len(pair.codes)) + 0.5), len(ends) - 1)]
