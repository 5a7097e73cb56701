import pytest

from tests.toolkit.compress.small_parts import residual_part
from toolkit.compress.precision import plan_precision
from toolkit.errors import RecipeError
from toolkit.recipe.schema import PrecisionPolicy, PrecisionRule


@pytest.fixture(scope="module")
def part():
    return residual_part()


def policy(*rules, default="int8"):
    return PrecisionPolicy(
        default=default, rules=tuple(PrecisionRule(match=m, use=u, because="a reason for it") for m, u in rules)
    )


def test_every_layer_has_a_precision_and_the_last_rule_wins(part):
    asked = policy(("dec.resblocks.*", "float32"), ("dec.resblocks.1.convs.0", "float16"))
    plan = plan_precision(part, asked, "decoder")
    assert plan.of("dec.conv_pre/Conv") == "int8"
    assert plan.of("dec.resblocks.0.convs.0/Conv") == plan.of("dec.resblocks.0/Add") == "float32"
    assert plan.of("dec.resblocks.1.convs.0/Conv") == "float16"
    assert len(plan.layers) == len(part.torch_names)
    assert plan.outputs == ("dec.conv_post/Conv",)
    decided = plan.by_layer()["dec.resblocks.1.convs.0/Conv"]
    assert (decided.torch_name, decided.op, decided.rule, decided.multiplies) == (
        "dec.resblocks.1.convs.0", "Conv", 1, True
    )  # fmt: skip


def test_the_order_of_rules_decides(part):
    asked = policy(("dec.resblocks.1.convs.0", "float16"), ("dec.resblocks.*", "float32"))
    plan = plan_precision(part, asked, "decoder")
    assert plan.of("dec.resblocks.1.convs.0/Conv") == "float32"


def test_single_additions_can_be_named(part):
    plan = plan_precision(part, policy(("dec.resblocks.*/Add", "float32")), "decoder")
    assert plan.layers_asking("float32") == {"dec.resblocks.0/Add", "dec.resblocks.1/Add"}
    assert plan.matched == {"dec.resblocks.*/Add": ("dec.resblocks.0", "dec.resblocks.1")}


def test_a_rule_that_matches_nothing_is_an_error_with_the_nearest_names(part):
    with pytest.raises(RecipeError) as caught:
        plan_precision(part, policy(("dec.conv_pre", "int8"), ("dec.conv_Post", "float32")), "decoder")
    assert caught.value.code == "recipe/rule-matches-nothing"
    assert "rule 2" in caught.value.where and "decoder" in caught.value.where
    assert "dec.conv_post" in caught.value.hint


def test_int16_beside_int8_is_refused_and_beside_float_is_not(part):
    with pytest.raises(RecipeError) as caught:
        plan_precision(part, policy(("dec.conv_post", "int16x8")), "decoder")
    assert caught.value.code == "precision/not-realisable" and "dec.conv_post" in caught.value.message
    assert "int16x8" in caught.value.hint
    plan = plan_precision(part, policy(("dec.conv_post", "float32"), default="int16x8"), "decoder")
    assert plan.precisions() == {"int16x8", "float32"}


def test_layers_added_on_the_way_follow_the_one_they_are_named_after(part):
    names = {name: node for name, node in part.torch_names.items() if name != "dec.resblocks.0/Add"}
    names["dec.resblocks.0"] = "dec.elsewhere/Add"
    moved = type(part)(model=part.model, interface=part.interface, torch_names=names)
    assert plan_precision(moved, policy(), "decoder").by_layer()["dec.resblocks.0/Add"].torch_name == "dec.elsewhere"
