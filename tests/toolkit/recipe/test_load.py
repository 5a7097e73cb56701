"""Recipes: built-ins load, and everything wrong is one clear error."""

import pytest

from toolkit.errors import RecipeError
from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Recipe


@pytest.mark.parametrize("name", recipes.builtin_names())
def test_builtin_recipe_loads_and_round_trips(name, tmp_path):
    recipe = recipes.load(name)
    path = tmp_path / "r.yaml"
    path.write_text(recipes.dump(recipe), encoding="utf-8")
    assert recipes.load(str(path)) == recipe
    assert recipes.sha256(recipes.load(str(path))) == recipes.sha256(recipe)


def test_set_changes_one_field_and_the_digest():
    plain, changed = recipes.load("vits-voice"), recipes.load("vits-voice", ("seed=7", "bench.runs=3"))
    assert (changed.seed, changed.bench.runs) == (7, 3)
    assert recipes.sha256(plain) != recipes.sha256(changed)


@pytest.mark.parametrize(
    ("changes", "code", "needle"),
    [
        (("sed=7",), "recipe/invalid", "did you mean seed"),
        (("seed",), "recipe/bad-set", "key=value"),
        (("bench.runs=-1",), "recipe/invalid", "bench.runs"),
        (("seed.x=1",), "recipe/bad-set", "not a mapping"),
        (("name=[",), "recipe/bad-set", "not YAML"),
    ],
)
def test_bad_changes_are_refused(changes, code, needle):
    with pytest.raises(RecipeError) as caught:
        recipes.load("vits-voice", changes)
    assert caught.value.code == code
    assert needle in str(caught.value)


def test_unknown_recipe_names_the_builtins():
    with pytest.raises(RecipeError, match="vits-voice"):
        recipes.load("no-such-recipe")


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "\x00"])
def test_foreign_file_is_refused(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError):
        recipes.load(str(path))


def test_rule_without_a_reason_is_refused():
    rule = {"match": "dec.*", "use": "int8", "because": ""}
    with pytest.raises(RecipeError, match="because"):
        recipes.validate({"schema": 1, "name": "x", "parts": {"decoder": {"precision": {"rules": [rule]}}}})


def test_every_field_of_the_gates_is_optional():
    assert Recipe.model_validate({"schema": 1, "name": "x"}).gates.latency_ratio_max is None


def test_a_change_to_one_part_is_none_to_another_that_was_written_as_its_alias():
    changed = recipes.load("gpt-sovits-int8", ("parts.t2s_step.compress.finetune.steps=6",))
    steps = {name: changed.part(name).compress.finetune.steps for name in ("t2s_step", "t2s_prefill", "text_encoder")}
    assert steps == {"t2s_step": 6, "t2s_prefill": 0, "text_encoder": 0}
