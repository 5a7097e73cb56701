"""A recipe against the parts of a GPT-SoVITS model, before any of them is converted."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from toolkit.engine.bundle import KINDS
from toolkit.engine.parallel_codes import FRAMES, PHONES
from toolkit.errors import RecipeError
from toolkit.pipeline.early_rules import Paths, check_globs, check_names, check_release, module_paths
from toolkit.pipeline.gpt_sovits_evidence import LIGHT_PART, MAIN_PART
from toolkit.recipe.schema import GptSovits, Recipe

if TYPE_CHECKING:
    from toolkit.models.gpt_sovits.checkpoint import Checkpoint
    from toolkit.models.gpt_sovits.semantic import SemanticModel
    from toolkit.models.gpt_sovits.sovits import Sovits
    from toolkit.models.parallel_semantic.model import ParallelSemantic
    from toolkit.pipeline.enrolment_torch import Listeners


def check_recipe(
    recipe: Recipe, semantic: SemanticModel, sovits: Checkpoint | None = None, heard: Listeners | None = None
) -> None:
    """Refuses what could only fail after the float hops.

    Args:
        recipe: settings by part.
        semantic: text to codes.
        sovits: codes to sound, where that is converted too.
        heard: models that listen and read.

    Raises:
        RecipeError: settings of a part that cannot be, or a glob that matches nothing.
    """
    settings = recipe.gpt_sovits or GptSovits()
    check_names(recipe, KINDS)
    check_release(recipe)
    _check_light(recipe, settings)
    parts = _semantic_parts(semantic, features=settings.text_features)
    if sovits is not None:
        parts |= _sovits_parts(sovits)
        if heard is not None:
            parts |= _listening_parts(sovits, heard)
    check_globs(recipe, parts)


def check_parallel_recipe(recipe: Recipe, model: ParallelSemantic, sovits: Checkpoint | None = None) -> None:
    """The same for a convolutional student, and what makes sound of its codes.

    Args:
        recipe: settings by part; those of SoVITS may stand there where there is none.
        model: text to codes.
        sovits: codes to sound, where that is converted too.

    Raises:
        RecipeError: settings of a part that cannot be, or a glob that matches nothing.
    """
    check_names(recipe, tuple(kind for kind in KINDS if not kind.startswith("t2s_")))
    check_release(recipe)
    _check_light(recipe, recipe.gpt_sovits or GptSovits())
    parts: dict[str, Paths] = {
        PHONES: lambda: module_paths(model.phones),
        FRAMES: lambda: module_paths(model.frames),
    }
    check_globs(recipe, parts if sovits is None else parts | _sovits_parts(sovits))


def _check_light(recipe: Recipe, settings: GptSovits) -> None:
    """A lighter vocoder is the same network in other precisions.

    Raises:
        RecipeError: the recipe has none for it, or those of the vocoder it stands in for.
    """
    same = recipe.part(LIGHT_PART).precision == recipe.part(MAIN_PART).precision
    if settings.light_vocoder and (same or LIGHT_PART not in recipe.parts):
        raise RecipeError(
            f"recipe {recipe.name!r} gives a lighter vocoder no precisions of its own",
            code="recipe/no-lighter-vocoder",
            where=f"parts.{LIGHT_PART}",
            hint="leave --light-vocoder out, or give that part its own precisions",
        )


def _semantic_parts(model: SemanticModel, *, features: bool) -> dict[str, Paths]:
    from toolkit.models.gpt_sovits import semantic_graphs
    from toolkit.models.gpt_sovits.semantic_parts import PrefillPart, StepPart

    return {
        semantic_graphs.PREFILL: lambda: module_paths(PrefillPart(model, features=features)),
        semantic_graphs.STEP: lambda: module_paths(StepPart(model)),
    }


def _sovits_parts(checkpoint: Checkpoint) -> dict[str, Paths]:
    from toolkit.models.gpt_sovits import sovits_parts as parts
    from toolkit.models.gpt_sovits.sovits import sovits_model

    @cache
    def model() -> Sovits:
        return sovits_model(checkpoint)

    def vocoder() -> list[str]:
        return module_paths(parts.VocoderPart(model()))

    return {
        parts.TEXT_ENCODER: lambda: module_paths(parts.TextEncoderPart(model())),
        parts.FLOW: lambda: module_paths(parts.FlowPart(model())),
        MAIN_PART: vocoder,
        LIGHT_PART: vocoder,
    }


def _listening_parts(checkpoint: Checkpoint, heard: Listeners) -> dict[str, Paths]:
    from toolkit.models.gpt_sovits import sovits_parts as parts
    from toolkit.models.gpt_sovits.bert import BERT
    from toolkit.models.gpt_sovits.eres2net import SPEAKER
    from toolkit.models.gpt_sovits.hubert import SSL
    from toolkit.models.gpt_sovits.sovits import code_extractor, enrolment_model

    found: dict[str, Paths] = {}
    if heard.ssl is not None:
        found[SSL] = lambda: module_paths(heard.ssl)
        found[parts.STYLE] = lambda: module_paths(parts.StyleWithSpeaker(enrolment_model(checkpoint)))
        found[parts.CODES] = lambda: module_paths(code_extractor(checkpoint))
    if heard.speaker is not None:
        found[SPEAKER] = lambda: module_paths(heard.speaker)
    if heard.bert is not None:
        found[BERT] = lambda: module_paths(heard.bert)
    return found
