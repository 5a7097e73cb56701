"""Built-in stacks say what the two commands they stand for say, and each fits one kind of model."""

import pytest

from toolkit.errors import RecipeError
from toolkit.recipe import load as recipes
from toolkit.recipe.shrinking import VOICE_STUDENTS
from toolkit.recipe.stacking import VoiceStack


@pytest.mark.parametrize(("name", "student"), [("stacked-voice", "small"), ("stacked-voice-moderate", "moderate")])
def test_a_built_in_voice_stack_is_its_student_and_its_recipe(name, student):
    stack = recipes.load_stack(name, family="voice")
    assert isinstance(stack, VoiceStack) and stack.name == name
    assert stack.distil.student == VOICE_STUDENTS[student]
    assert recipes.load(stack.quantise.recipe, stack.quantise.changes).name == f"vits-voice-{student}"


def test_every_built_in_stack_is_one_of_a_family():
    families = {"stacked-t2s": "t2s"}
    for name in recipes.builtin_names("stacks"):
        assert recipes.load_stack(name, family=families.get(name, "voice")).name == name


@pytest.mark.parametrize(("name", "family"), [("stacked-t2s", "voice"), ("stacked-voice", "t2s")])
def test_a_stack_of_another_kind_is_refused(name, family):
    with pytest.raises(RecipeError) as caught:
        recipes.load_stack(name, family=family)
    assert caught.value.code == "recipe/other-family"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("distil.student.utterances=3", "stack's own utterances"),
        ("family=other", "family"),
        ("quantise.mos_drop_max=-1", "quantise.mos_drop_max"),
        ("prune={utterances: 3}", "stack's own utterances"),
        ("prune.mlp_ratio=1.0", "prune.mlp_ratio"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, said):
    with pytest.raises(RecipeError) as caught:
        recipes.load_stack("stacked-voice", (change,), family="voice")
    assert said in str(caught.value.message)
