"""What a search may turn."""

import itertools

import pytest

from toolkit.recipe import load as recipes
from toolkit.search.intent import read_intent
from toolkit.search.job import GROUPS
from toolkit.search.knobs import KNOBS, Subject, recipe_of, space


def _subject(kind="voice", base="vits-voice", **wishes):
    given = {"device": "snapdragon-7-gen-3", "max_size": "80MB", "max_latency": "1s", **wishes}
    return Subject(kind=kind, groups=GROUPS[kind], base=recipes.load(base), intent=read_intent(None, given))


def _labels(subject):
    return {name: [option.label for option in options] for name, options in space(subject).items()}


def test_every_position_of_a_voice_is_a_recipe():
    subject = _subject(size_of="download", finetune_steps=(100,))
    labels = _labels(subject)
    assert {name.partition(".")[0] for name in labels} == {knob.name for knob in KNOBS}
    for name, each in labels.items():
        for label in each:
            recipe = recipe_of(subject, {name: label})
            assert recipe.delegate.device == "snapdragon-7-gen-3"


def test_positions_differ_from_one_another():
    subject = _subject()
    for name, labels in _labels(subject).items():
        made = [recipes.sha256(recipe_of(subject, {name: label})) for label in labels]
        assert len(set(made)) == len(made), name


def test_protected_parts_stay_in_float_whatever_is_chosen():
    subject = _subject(size_of="download")
    labels = _labels(subject)
    for combination in itertools.product(*labels.values()):
        flow = recipe_of(subject, dict(zip(labels, combination, strict=True))).part("flow")
        assert {flow.precision.default, *(rule.use for rule in flow.precision.rules)} <= {"float16", "float32"}
        assert flow.compress.sparsity is None


def test_protection_can_be_lifted_and_extended():
    assert "int8" in _labels(_subject(protect=()))["precision.flow"]
    assert "int8" not in _labels(_subject(protect=("flow", "decoder")))["precision.decoder"]


def test_flow_and_decoder_are_never_pruned():
    labels = _labels(_subject(size_of="download", protect=()))
    assert "pruning.encoder" in labels
    assert not {"pruning.flow", "pruning.decoder"} & set(labels)


def test_pruning_is_offered_only_where_compressed_size_counts():
    assert not any(name.startswith("pruning") for name in _labels(_subject()))


def test_limits_replace_the_recipes_and_its_quality_stays():
    gates = recipe_of(_subject(), {}).gates
    assert (gates.total_bytes_max, gates.estimated_latency_ms_max) == (80_000_000, 1000)
    assert gates.speaker_cosine_min == 0.993
    assert gates.decoder_bytes_ratio_max is None and gates.latency_ratio_max is None
    assert recipe_of(_subject(quality={"speaker_cosine_min": 0.9}), {}).gates.speaker_cosine_min == 0.9


def test_a_model_has_whole_part_precisions():
    assert _labels(_subject("model", "any-model")) == {
        "precision.model": ["recipe", "float16", "int8", "int8-storage", "int16x8"]
    }


def test_a_transformer_is_set_as_one_because_its_halves_share_weights():
    subject = _subject("gpt-sovits", "gpt-sovits")
    for label in _labels(subject)["precision.transformer"]:
        recipe = recipe_of(subject, {"precision.transformer": label})
        first, second = recipe.part("t2s_prefill").precision, recipe.part("t2s_step").precision
        assert first.default == second.default
    assert "as gpt-sovits-int8" in _labels(subject)["precision.vocoder_stream"]
    assert "as gpt-sovits-int8" not in _labels(subject)["precision.flow"]


def test_order_of_the_choices_does_not_matter():
    subject = _subject("model", "any-model", finetune_steps=(50,))
    chosen = {"finetune.model": "50 steps", "precision.model": "int8"}
    recipe = recipe_of(subject, chosen)
    assert recipe.part("model").compress.finetune.steps == 50
    assert recipe == recipe_of(subject, dict(reversed(chosen.items())))


@pytest.mark.parametrize("chosen", [{"precision.decoder": "int3"}, {"precision.tail": "int8"}])
def test_unknown_knobs_and_positions_are_errors(chosen):
    with pytest.raises(KeyError):
        recipe_of(_subject(), chosen)
