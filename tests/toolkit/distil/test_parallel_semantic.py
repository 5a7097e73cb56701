"""The convolutional student learns codes and durations of its teacher's data; each with what would break it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.toolkit.train.small_semantic import CODES, small_corpus, trained_model
from toolkit.data.semantic_corpus import SemanticCorpus
from toolkit.distil.parallel_semantic import (
    distil_parallel,
    match_lengths,
    new_parallel,
    parallel_loss,
    taught_rows,
    timed_corpus,
)
from toolkit.distil.teacher_cache import TeacherLogits
from toolkit.errors import DataError, RecipeError
from toolkit.models.gpt_sovits.semantic_batch import Pair, batch_logits, batch_of
from toolkit.models.parallel_semantic.batch import timed_batch
from toolkit.quality.parallel_semantic import judge_codes, judge_durations, judge_teacher, opinions, student_codes
from toolkit.quality.semantic import judge_semantic
from toolkit.recipe.shrinking import DistilParallel, checked, parallel_student

SMALL = {"width": 32, "expansion": 2, "phone_blocks": 1, "frame_blocks": 2, "frame_kernel": 3}
TRAINING = {"steps": 120, "learning_rate": 1e-2, "dropout": 0.0}


def _settings(**changes):
    return checked(DistilParallel, {**SMALL, "training": TRAINING, **changes})


@pytest.fixture(scope="module")
def done():
    return distil_parallel(trained_model(), small_corpus(), _settings())


def test_the_student_learns_what_its_teacher_was_taught(done):
    assert done.durations == "alignment" and done.left_out == 0
    assert done.after.cross_entropy_nats < 0.2 < done.before.cross_entropy_nats
    assert done.after.top1_ratio > 0.95 and done.after.agreement_ratio > 0.75
    assert done.after.cross_entropy_nats < done.table.cross_entropy_nats < done.guess_nats + 0.1
    assert done.timing.length_ratio == pytest.approx(1.0, abs=0.05)


def test_said_codes_are_the_sentence_s(done):
    """Every phone is two codes, its number and the next."""
    right = [np.array_equal(student_codes(done.model, pair.phones), pair.codes) for pair in small_corpus().held_out]
    assert sum(right) >= 0.8 * len(right)


def test_a_student_of_foreign_phones_is_found_out(done):
    """Twin: phones that are not those of the codes."""
    corpus = timed_corpus(small_corpus()).corpus
    wrong = [replace(pair, phones=(pair.phones + 3) % 12) for pair in corpus.held_out]
    assert judge_codes(done.model, wrong, trained_model()).cross_entropy_nats > 1.0


def test_the_teacher_thinks_worse_of_drawn_codes(done):
    pairs = timed_corpus(small_corpus()).corpus.held_out
    spoiled = new_parallel(trained_model(), _settings())
    found, bad = (opinions(model, trained_model(), pairs) for model in (done.model, spoiled))
    assert set(found) == set(bad) and len(found) == 5
    for name, each in found.items():
        assert 0 <= each.repeat_ratio <= 1 and 0 < each.distinct_ratio <= 1
        if "likeliest" in name:
            assert each.cross_entropy_nats < found["data"].cross_entropy_nats + 0.5
            assert bad[name].cross_entropy_nats > each.cross_entropy_nats + 1.0
    drawn, likeliest = (found[f"student, {how}, own durations"] for how in ("each frame drawn by itself", "likeliest"))
    assert drawn.cross_entropy_nats > likeliest.cross_entropy_nats


def test_taught_rows_are_the_teacher_s_without_its_stop_token():
    teacher, pairs = trained_model(), small_corpus().training
    rows = taught_rows(TeacherLogits(teacher, pairs, None), pairs, [7, 2])
    alone = [batch_logits(teacher, batch_of([pairs[place]], CODES))[:-1, :-1] for place in (7, 2)]
    assert torch.allclose(rows, torch.cat(alone), atol=2e-2)  # half precision
    assert len(rows) == len(pairs[7].codes) + len(pairs[2].codes)


def test_the_loss_hears_teacher_data_and_durations():
    corpus, teacher = timed_corpus(small_corpus()).corpus, trained_model()
    places = [3, 4]
    batch = timed_batch([corpus.training[place] for place in places])
    taught = taught_rows(TeacherLogits(teacher, corpus.training, None), corpus.training, places)
    student = new_parallel(teacher, _settings())

    def of(batch=batch, taught=taught, **changes):
        return float(parallel_loss(student, batch, taught, _settings(**changes)).detach())

    assert of(alpha=0.0, taught=torch.randn_like(taught)) == of(alpha=0.0)
    assert of(alpha=0.4, taught=torch.randn_like(taught) * 9) != of(alpha=0.4)
    longer = replace(batch, log_durations=batch.log_durations + 1.0)
    assert of(batch=longer, duration_weight=0.0) == of(duration_weight=0.0)
    assert of(batch=longer, duration_weight=0.5) != of(duration_weight=0.5)


def test_lengths_are_matched_where_logarithms_made_them_short():
    corpus = timed_corpus(small_corpus()).corpus
    student = new_parallel(trained_model(), _settings())
    before = judge_durations(student, corpus.training, corpus.training).length_ratio
    factor = match_lengths(student, corpus.training)
    after = judge_durations(student, corpus.training, corpus.training).length_ratio
    assert before * factor == pytest.approx(1.0, rel=1e-3) and after == pytest.approx(1.0, rel=1e-3)
    assert abs(before - 1) > 0.05


def test_an_interrupted_run_ends_like_one_that_was_not(tmp_path):
    settings = _settings(training={**TRAINING, "steps": 12, "checkpoint_every_steps": 5})

    class Stop(Exception):
        pass

    def interrupt(step, steps, loss):
        if step == 7:
            raise Stop

    corpus, seen = small_corpus(), []
    with pytest.raises(Stop):
        distil_parallel(trained_model(), corpus, settings, checkpoint_dir=tmp_path, on_step=interrupt)
    resumed = distil_parallel(trained_model(), corpus, settings, checkpoint_dir=tmp_path,
                              on_step=lambda step, steps, loss: seen.append(step))  # fmt: skip
    whole = distil_parallel(trained_model(), corpus, settings)
    assert seen[0] == 6 and resumed.losses == whole.losses
    assert torch.equal(resumed.model.frames.head.weight, whole.model.frames.head.weight)


def test_the_teacher_s_quality_without_stop_tokens_is_that_with_them():
    pairs, teacher = small_corpus().held_out, trained_model()
    without, whole = judge_teacher(teacher, pairs), judge_semantic(teacher, pairs)
    assert whole.predictions - without.codes == len(pairs)
    assert without.top1_ratio == pytest.approx(whole.top1_ratio, abs=0.1)


def test_durations_of_the_data_are_taken_and_missing_ones_are_found():
    told = timed_corpus(small_corpus()).corpus
    assert timed_corpus(told).durations == "data" and timed_corpus(told).corpus is told
    (first, *rest) = told.training
    partly = SemanticCorpus(training=(replace(first, durations_ms=None), *rest), held_out=told.held_out)
    assert timed_corpus(partly).durations == "alignment"
    short = Pair(phones=np.arange(4, dtype=np.int32), codes=np.arange(3, dtype=np.int32))
    with pytest.raises(DataError):
        timed_corpus(SemanticCorpus(training=small_corpus().training, held_out=(short,)))


@pytest.mark.parametrize("change", ["frame_kernel=4", "temperature=9", "nothing=1", "training.steps=-1"])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(RecipeError):
        parallel_student((change,), {}, {})
    assert parallel_student(("frame_blocks=2",), {"width": 8}, {"steps": 3}, 7).training.steps == 3
