"""What a search may turn."""

import itertools
from pathlib import Path

import pytest

from toolkit.errors import SearchError
from toolkit.recipe import load as recipes
from toolkit.search.intent import read_intent
from toolkit.search.job import GROUPS
from toolkit.search.knobs import KNOBS, Subject, channels_label, ratio_of, recipe_of, space
from toolkit.search.students import Student, labels_of, refuse_unoffered

SMALL = Student(label="a/small", path=Path("small"), sha256="0", recipe="vits-voice-small")
LIGHT = Student(label="a/light", path=Path("light"), sha256="1", recipe="vits-voice-light")


def _subject(kind="voice", base="vits-voice", students=(), **wishes):
    given = {"device": "snapdragon-7-gen-3", "max_size": "80MB", "max_latency": "1s", **wishes}
    intent = read_intent(None, given)
    return Subject(kind=kind, groups=GROUPS[kind], base=recipes.load(base), intent=intent, students=students)


def _labels(subject):
    return {name: [option.label for option in options] for name, options in space(subject).items()}


def test_every_position_of_a_voice_is_a_recipe():
    subject = _subject(size_of="download", finetune_steps=(100,), students=(SMALL, LIGHT))
    labels = _labels(subject)
    assert {name.partition(".")[0] for name in labels} == {knob.name for knob in KNOBS} - {"channels"}
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


def test_a_student_brings_its_recipes_parts_and_limits():
    subject = _subject(students=(SMALL, LIGHT))
    assert _labels(subject)["student.model"] == ["given", "a/small", "a/light"]
    given, small = (recipe_of(subject, {"student.model": label}) for label in ("given", "a/small"))
    own = recipes.load("vits-voice-small")
    assert small.parts == own.parts and given.parts == subject.base.parts
    assert small.gates.whole_speaker_cosine_min == own.gates.whole_speaker_cosine_min == 0.92
    assert small.gates.speaker_cosine_min is None and given.gates.speaker_cosine_min == 0.993
    assert small.gates.total_bytes_max == given.gates.total_bytes_max == 80_000_000
    chosen = {"student.model": "a/small", "precision.encoder": "float16"}
    assert recipe_of(subject, chosen).part("encoder").precision.rules == ()


def test_a_recipe_that_was_asked_for_stays_with_a_student():
    subject = _subject(base="vits-voice-npu", students=(SMALL,))
    assert recipe_of(subject, {"student.model": "a/small"}).parts == subject.base.parts


def test_channels_are_forms_of_a_gpt_checkpoint_and_change_no_recipe():
    subject = _subject("codes", "gpt-sovits", prune_ratios=(0.5, 0, 0.25))
    labels = _labels(subject)["channels.model"]
    assert labels == ["given", "25% out", "50% out"]
    assert [ratio_of(label) for label in labels[1:]] == [0.25, 0.5] and channels_label(0.125) == "12.5% out"
    assert len({recipes.sha256(recipe_of(subject, {"channels.model": label})) for label in labels}) == 1
    assert "channels.model" not in _labels(_subject("codes", "gpt-sovits"))


@pytest.mark.parametrize(
    ("kind", "wishes"),
    [
        ("voice", {"prune_ratios": (0.5,)}),
        ("voice", {"data": "x"}),
        ("model", {"students": ("x",)}),
        ("model", {"prune_ratios": (0.5,)}),
        ("gpt-sovits", {"students": ("x",)}),
        ("gpt-sovits", {"prune_ratios": (0.5,)}),
    ],
)
def test_wishes_that_cannot_be_granted_are_errors(kind, wishes):
    intent = read_intent(None, {"device": "snapdragon-7-gen-3", "max_size": "80MB", **wishes})
    with pytest.raises(SearchError) as caught:
        refuse_unoffered(kind, intent)
    assert caught.value.code == "search/intent"
    refuse_unoffered(kind, read_intent(None, {"device": "snapdragon-7-gen-3", "max_size": "80MB"}))


def test_students_are_called_by_what_tells_them_apart():
    assert labels_of(["runs/a/student.safetensors", "b/student.safetensors"]) == [
        "a/student.safetensors", "b/student.safetensors",
    ]  # fmt: skip
    assert labels_of(["x/a/s.ckpt", "y/a/s.ckpt"]) == ["x/a/s.ckpt", "y/a/s.ckpt"]
    with pytest.raises(SearchError):
        labels_of(["a", "a"])


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
