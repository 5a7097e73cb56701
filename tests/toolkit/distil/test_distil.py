"""The loss is what it says, teachers are asked once, students are smaller and learn; each with what would break it."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.toolkit.train.small_semantic import CONFIG, small_corpus, trained_model
from toolkit.distil.losses import distillation_loss, softened_divergence
from toolkit.distil.semantic import distil_semantic
from toolkit.distil.student import new_student, student_config
from toolkit.distil.teacher_cache import TeacherLogits
from toolkit.errors import RecipeError
from toolkit.models.gpt_sovits.semantic_batch import batch_logits, batch_of
from toolkit.quality.semantic import judge_semantic
from toolkit.recipe.shrinking import Distil, checked

SETTINGS = {"width": 24, "layers": 1, "training": {"steps": 60, "learning_rate": 5e-3, "dropout": 0.0}}


def _logits(seed):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((6, 9)).astype(np.float32)) * 4


def test_divergence_is_the_softened_one_times_the_squared_temperature():
    student, teacher, T = _logits(0), _logits(1), 5.0
    p, q = torch.softmax(teacher / T, 1), torch.softmax(student / T, 1)
    by_hand = T * T * (p * (p / q).log()).sum(1).mean()
    assert float(softened_divergence(student, teacher, T)) == pytest.approx(float(by_hand), rel=1e-5)
    assert float(softened_divergence(teacher, teacher, T)) == pytest.approx(0.0, abs=1e-6)


def test_alpha_weighs_teacher_and_data():
    student, teacher, codes = _logits(0), _logits(1), torch.arange(6)
    of = lambda alpha: float(distillation_loss(student, teacher, codes, temperature=5.0, alpha=alpha))  # noqa: E731
    assert of(0.0) == pytest.approx(float(functional.cross_entropy(student, codes)), rel=1e-6)
    assert of(1.0) == pytest.approx(float(softened_divergence(student, teacher, 5.0)), rel=1e-6)
    assert of(0.4) == pytest.approx(0.4 * of(1.0) + 0.6 * of(0.0), rel=1e-6)


@pytest.mark.parametrize(
    "values", [{"temperature": 2.9}, {"temperature": 7.1}, {"alpha": 1.1}, {"width": 25}, {"hed": 1}]
)
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(RecipeError) as caught:
        checked(Distil, values)
    assert caught.value.code == "recipe/out-of-range"
    assert checked(Distil, {"temperature": 3.0}).alpha == 0.4 and checked(Distil, {}).temperature == 5.0


def test_teacher_is_asked_once_and_a_damaged_answer_again(tmp_path):
    teacher, pairs = trained_model(), small_corpus().training
    first = TeacherLogits(teacher, pairs, tmp_path)
    first.fill()
    again = TeacherLogits(teacher, pairs, tmp_path)
    known = again.of([70, 3])
    assert (first.asked, again.asked) == (len(pairs), 0)
    alone = torch.cat([batch_logits(teacher, batch_of([pairs[place]], CONFIG.stop_token)) for place in (70, 3)])
    assert torch.allclose(known, alone, atol=2e-2)  # half precision
    file = sorted(tmp_path.rglob("*.npz"))[0]
    with np.load(file) as stored:
        arrays = dict(stored)
    arrays["rows"][0, 0] += 1
    np.savez(file, **arrays)
    repaired = TeacherLogits(teacher, pairs, tmp_path)
    assert torch.equal(repaired.of([3]), first.of([3])) and repaired.asked == 64


def test_another_teacher_is_not_taken_for_this_one(tmp_path):
    pairs = small_corpus().training
    TeacherLogits(trained_model(), pairs, tmp_path).fill()
    other = trained_model()
    other.ar_predict_layer.weight += 1e-3
    asked = TeacherLogits(other, pairs, tmp_path)
    asked.fill()
    assert asked.asked == len(pairs)


def test_student_is_narrower_and_shallower_and_learns(tmp_path):
    teacher, settings = trained_model(), checked(Distil, SETTINGS)
    done = distil_semantic(teacher, small_corpus(), settings, cache=tmp_path)
    assert (done.model.config.width, done.model.config.layers, done.model.config.heads) == (24, 1, 3)
    assert done.after.cross_entropy_nats < done.before.cross_entropy_nats - 0.3
    assert done.after.agreement_ratio > 0.5


def test_what_the_teacher_says_matters(tmp_path):
    """A student of a teacher that says everything the wrong way round agrees less with the right one."""
    right, wrong, corpus = trained_model(), trained_model(), small_corpus()
    wrong.ar_predict_layer.weight.copy_(wrong.ar_predict_layer.weight.roll(3, dims=0))
    settings = checked(Distil, SETTINGS | {"alpha": 1.0})
    agreed = [
        judge_semantic(distil_semantic(teacher, corpus, settings).model, corpus.held_out, right).agreement_ratio
        for teacher in (right, wrong)
    ]
    assert agreed[0] > agreed[1] + 0.3


def test_sizes_in_proportion_when_none_are_asked():
    found = student_config(CONFIG, checked(Distil, {}))
    assert (found.width, found.layers, found.heads, found.inner) == (24, 1, 3, 48)


def test_student_larger_than_its_teacher_is_refused():
    for sizes in ({"layers": 3}, {"width": 64}, {"width": 24, "heads": 5}):
        with pytest.raises(RecipeError):
            student_config(CONFIG, checked(Distil, sizes))


def test_student_of_the_same_size_inherits_the_teacher_whole():
    settings = checked(Distil, {"width": 32, "layers": 2, "inner": 64})
    student = new_student(trained_model(), student_config(CONFIG, settings), settings)
    pairs = small_corpus().held_out
    assert judge_semantic(student, pairs) == judge_semantic(trained_model(), pairs)
    fresh = new_student(
        trained_model(), student_config(CONFIG, settings), settings.model_copy(update={"start": "random"})
    )
    assert judge_semantic(fresh, pairs) != judge_semantic(trained_model(), pairs)
