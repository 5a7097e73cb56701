"""Everything a search may turn. One table: a new knob is a new entry of ``KNOBS``.

A knob offers options for a model; an option changes recipe data, or names another form of the model (a student, fewer
channels), which the search's job then converts. Whatever the recipes learn becomes searchable by one more function.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Recipe
from toolkit.search.intent import QUALITY_LIMITS, Intent
from toolkit.search.students import GIVEN, Student

RecipeData = dict[str, Any]
Change = Callable[[RecipeData], None]
_PRINCIPAL_RANKS = (4, 7, 12)
_SPARSITY = (0.5,)
_PAIR_INT8 = "gpt-sovits-int8"
_VOICE = "vits-voice"
STUDENT_KNOB, CHANNELS_KNOB = "student.model", "channels.model"
_EIGHT_BIT = {
    "voice": ["int8", "int8-storage"],
    "model": ["int8", "int8-storage", "int16x8"],
    "gpt-sovits": ["int8-storage"],
    "codes": ["int8-storage"],
}
"""Precisions of a whole part below float16; int8-weights is for matrices alone and stands in recipes that know them."""
_UNPRUNED = ("flow", "decoder", "vocoder_stream")  # the mission's rule: flow and VAE decoder stay whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is searched for.

    Attributes:
        kind: ``voice``, ``model`` or ``gpt-sovits``.
        groups: parts that are set together, by the name their knobs carry.
        base: the recipe every version starts from.
        intent: what is asked for.
        students: other forms of the model.
    """

    kind: str
    groups: Mapping[str, tuple[str, ...]]
    base: Recipe
    intent: Intent
    students: tuple[Student, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One position of a knob.

    Attributes:
        label: what it is called in the study and on the page.
        change: what it does to recipe data; nothing for the base recipe's own setting.
    """

    label: str
    change: Change = field(default=lambda data: None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """A family of settings.

    Attributes:
        name: of the family.
        because: why it can help, for the page.
        positions: knob name to options for a subject; empty where it does not apply.
    """

    name: str
    because: str
    positions: Callable[[Subject], Mapping[str, tuple[Option, ...]]] = field(repr=False)


def space(subject: Subject) -> dict[str, tuple[Option, ...]]:
    """Every knob that has more than one position for a subject, in the order of ``KNOBS``."""
    found: dict[str, tuple[Option, ...]] = {}
    for knob in KNOBS:
        for name, options in knob.positions(subject).items():
            if len(options) > 1:
                found[name] = options
    return found


def recipe_of(subject: Subject, chosen: Mapping[str, str]) -> Recipe:
    """The base recipe with the chosen positions and the intent's limits.

    Raises:
        KeyError: a knob or position does not exist.
        RecipeError: the combination is no recipe.
    """
    knobs = space(subject)
    if unknown := sorted(set(chosen) - set(knobs)):
        raise KeyError(f"no knob {unknown[0]!r}")
    data = subject.base.model_dump(mode="json", by_alias=True)
    for name, options in knobs.items():  # in the knobs' order: training is for the precision that was chosen
        if name not in chosen:
            continue
        option = next((each for each in options if each.label == chosen[name]), None)
        if option is None:
            raise KeyError(f"{name} has no position {chosen[name]!r}")
        option.change(data)
    kept = {name: data["gates"][name] for name in QUALITY_LIMITS if data["gates"].get(name) is not None}
    data["gates"] = {**kept, **subject.intent.limits}
    data["delegate"]["device"] = subject.intent.device
    return recipes.validate(data, "search")


def _students(subject: Subject) -> dict[str, tuple[Option, ...]]:
    """The model given, or one of its students; what their parts need and are held to comes with them."""

    def change(student: Student) -> Change:
        def apply(data: RecipeData) -> None:
            if not student.recipe or subject.base.name != _VOICE:
                return
            own = recipes.load(student.recipe).model_dump(mode="json", by_alias=True)
            data["parts"], data["gates"] = own["parts"], own["gates"]

        return apply

    students = (Option(label=student.label, change=change(student)) for student in subject.students)
    return {STUDENT_KNOB: (Option(label=GIVEN), *students)}


def _channels(subject: Subject) -> dict[str, tuple[Option, ...]]:
    """Shares of the feed-forward channels that go before it is converted; recipes have nothing to do with it."""
    ratios = sorted({*subject.intent.prune_ratios} - {0.0})
    return {CHANNELS_KNOB: (Option(label=GIVEN), *(Option(label=channels_label(ratio)) for ratio in ratios))}


def _precision(subject: Subject) -> dict[str, tuple[Option, ...]]:
    found = {}
    for group, parts in subject.groups.items():
        plain = ["float16", "float32"]
        if group not in subject.intent.protect:
            plain += _EIGHT_BIT[subject.kind]
        options = [Option(label="recipe")]
        own = subject.base.part(parts[0]).precision
        uniform = own.default if all(rule.use == own.default for rule in own.rules) else None
        options += [Option(label=name, change=_uniform(parts, name)) for name in plain if name != uniform]
        found[f"precision.{group}"] = (*options, *_principal(subject, group), *_borrowed(subject, group))
    return found


def channels_label(ratio: float) -> str:
    """What taking out a share of the channels is called."""
    return f"{100 * ratio:g}% out"


def ratio_of(label: str) -> float:
    """The share that `channels_label` names."""
    return float(label.removesuffix("% out")) / 100


def _uniform(parts: Sequence[str], precision: str) -> Change:
    """One precision for whole parts; what the recipe did besides (equalising, fine-tuning) stays.

    Splits do not: they are for convolutions between 8 bits and float.
    """

    def change(data: RecipeData) -> None:
        for part in parts:
            settings = _settings(data, part)
            settings["precision"] = {"default": precision, "rules": []}
            settings["compress"] |= {"principal": [], "levels": []}
            if precision not in ("int8", "int8-weights"):
                settings["compress"]["finetune"]["steps"] = 0

    return change


def _borrowed(subject: Subject, group: str) -> list[Option]:
    """What the 8-bit recipe of GPT-SoVITS does with a group of parts: its rules keep norms and sums in float."""
    if (
        subject.kind not in ("gpt-sovits", "codes")
        or group in subject.intent.protect
        or subject.base.name == _PAIR_INT8
    ):
        return []
    source = recipes.load(_PAIR_INT8).model_dump(mode="json", by_alias=True)["parts"]

    def change(data: RecipeData) -> None:
        for part in subject.groups[group]:
            data["parts"][part] = copy.deepcopy(source[part])

    return [Option(label=f"as {_PAIR_INT8}", change=change)]


def _principal(subject: Subject, part: str) -> list[Option]:
    """8 bits throughout, with the inputs' principal directions in float: the rules of ``vits-voice-int8``."""
    if subject.kind != "voice" or part != "decoder" or part in subject.intent.protect:
        return []
    source = recipes.load("vits-voice-int8").part(part).model_dump(mode="json")

    def change(rank: int) -> Change:
        def apply(data: RecipeData) -> None:
            settings = copy.deepcopy(source)
            settings["compress"]["finetune"] = _settings(data, part)["compress"]["finetune"]
            for split in settings["compress"]["principal"]:
                split["rank"] = rank
            data["parts"][part] = settings

        return apply

    return [Option(label=f"int8, rank {rank}", change=change(rank)) for rank in _PRINCIPAL_RANKS]


def _pruning(subject: Subject) -> dict[str, tuple[Option, ...]]:
    """Zeros make a file smaller only once it is compressed: without ``size_of: download`` there is nothing to gain."""
    if subject.intent.size_of != "download":
        return {}

    def change(parts: Sequence[str], ratio: float) -> Change:
        def apply(data: RecipeData) -> None:
            for part in parts:
                _settings(data, part)["compress"]["sparsity"] = {"target_ratio": ratio, "pattern": "unstructured"}

        return apply

    names = [name for name in subject.groups if name not in subject.intent.protect and name not in _UNPRUNED]
    return {
        f"pruning.{name}": (
            Option(label="recipe"),
            *(Option(label=f"{ratio:.0%} zeros", change=change(subject.groups[name], ratio)) for ratio in _SPARSITY),
        )
        for name in names
    }


def _finetuning(subject: Subject) -> dict[str, tuple[Option, ...]]:
    """Only where the intent names step counts; parts without 8-bit operators refuse it, which costs one short trial."""

    def change(part: str, steps: int) -> Change:
        def apply(data: RecipeData) -> None:
            settings = _settings(data, part)
            if settings["precision"]["default"] in ("int8", "int8-weights"):
                settings["compress"]["finetune"]["steps"] = steps

        return apply

    main = [name for name in subject.groups if name in ("decoder", "model")]
    return {
        f"finetune.{part}": (
            Option(label="recipe"),
            *(Option(label=f"{steps} steps", change=change(part, steps)) for steps in subject.intent.finetune_steps),
        )
        for part in main
    }


def _settings(data: RecipeData, part: str) -> RecipeData:
    """A part's own settings in recipe data, made from what it would inherit."""
    if part not in data["parts"]:
        inherited = data["parts"].get("*") or recipes.validate({"name": "x"}).part(part).model_dump(mode="json")
        data["parts"][part] = copy.deepcopy(inherited)
    return data["parts"][part]


KNOBS: tuple[Knob, ...] = (
    Knob(
        name="student",
        because="distilled before: fewer weights, judged against the model given",
        positions=_students,
    ),
    Knob(
        name="channels",
        because="feed-forward channels that are gone are neither stored nor multiplied",
        positions=_channels,
    ),
    Knob(
        name="precision", because="fewer bits: smaller, and integer units compute 8 bits faster", positions=_precision
    ),
    Knob(name="pruning", because="zeros compress well; delegates are no faster for them", positions=_pruning),
    Knob(name="finetune", because="training against the float model repairs rounding", positions=_finetuning),
)
"""In the order they are applied."""
