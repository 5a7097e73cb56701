"""``toolkit sensitivity``: a part's layer groups, rounded one at a time, and a recipe that keeps the worst in float."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.errors import InputError
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.float_chain import FloatPart, convert_float
from toolkit.pipeline.parts import calibration_inputs
from toolkit.pipeline.run import open_source
from toolkit.pipeline.shipping import calibration_sentences
from toolkit.pipeline.sources import Request
from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Part, PrecisionRule, Recipe
from toolkit.whole_file import whole_file

if TYPE_CHECKING:
    from converters.spec import Arrays
    from toolkit.compress.sensitivity import Sensitivity

_JUDGED_EVERY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSensitivity:
    """What was found of one part.

    Attributes:
        key: of the part.
        name: its name in recipes.
        found: groups and choice.
        rules: precision rules that keep the chosen groups in float.
    """

    key: str
    name: str
    found: Sensitivity = field(repr=False)
    rules: list[dict[str, str]]


def analyse(
    request: Request | Path, recipe: Recipe, part: str, listener: Listener, *, target_db: float, depth: int
) -> list[PartSensitivity]:
    """Analyses every part of a model that has int8 in it, or one of them.

    Args:
        request: any model or voice; or a GPT-SoVITS GPT checkpoint.
        recipe: says what is to be int8.
        part: name of the only part wanted; empty for all.
        listener: told about every stage.
        target_db: signal over noise a part should keep.
        depth: parts of a torch path that name a group.

    Raises:
        InputError: the model has no such part.
        RecipeError: no part has an int8 operator.
        ParityError: a float hop diverges.
    """
    from toolkit.compress.precision import plan_precision
    from toolkit.compress.run import plan_without
    from toolkit.compress.sensitivity import analyse_sensitivity, float_rules
    from toolkit.compress.streamline import streamline

    clock = StageClock(listener)
    found: list[PartSensitivity] = []
    names: list[str] = []
    for floats, inputs in _parts(request, recipe, clock, part, names):
        name = floats.source.name
        with clock.stage(f"{floats.source.key}: one group at a time") as stage:
            judged = list(inputs)[::_JUDGED_EVERY]
            calibration = [each for number, each in enumerate(inputs) if number % _JUDGED_EVERY] or judged
            plan = plan_precision(floats.relayered, recipe.part(name).precision, name)
            relayered = streamline(floats.relayered, calibration).relayered
            result = analyse_sensitivity(
                relayered,
                plan_without(plan, relayered),
                calibration,
                judged,
                target_db=target_db,
                depth=depth,
                on_progress=lambda done, total, group: listener.progress(stage.name, done, total, group),
            )
            stage.fact = f"{len(result.losses)} groups, {len(result.kept)} kept in float: {result.measured_db:.1f} dB"
        rules = float_rules(result.kept, result.losses)
        found.append(PartSensitivity(key=floats.source.key, name=name, found=result, rules=rules))
    if not found:
        raise InputError(
            f"no part {part!r}" if part else "no part has an int8 operator in this recipe",
            code="usage/invalid",
            where="toolkit sensitivity",
            hint=f"parts: {', '.join(dict.fromkeys(names))}; a recipe with int8, e.g. --recipe any-model-int8",
        )
    return found


def _parts(
    request: Request | Path, recipe: Recipe, clock: StageClock, part: str, names: list[str]
) -> Iterator[tuple[FloatPart, Sequence[Arrays]]]:
    """Parts that are wanted and have int8 in them, with inputs to calibrate and judge on; notes every part's name."""
    repro = Path("sensitivity-repro")

    def wanted(name: str) -> bool:
        names.append(name)
        precision = recipe.part(name).precision
        return part in ("", name) and "int8" in {precision.default, *(rule.use for rule in precision.rules)}

    if isinstance(request, Path):
        yield from _semantic_parts(request, recipe, clock, repro, wanted)
        return
    source, parts, manifest = open_source(request, recipe, clock)
    sentences = calibration_sentences(manifest)
    for each in parts:
        if wanted(each.name):
            yield convert_float(each, recipe, clock, repro), calibration_inputs(source, each, sentences, recipe.seed)


def _semantic_parts(path: Path, recipe: Recipe, clock: StageClock, repro: Path, wanted: Any) -> Iterator[Any]:
    from toolkit.models.gpt_sovits.calibration import SpokenSentences
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
    from toolkit.models.gpt_sovits.semantic_graphs import SemanticBuckets, semantic_graphs
    from toolkit.pipeline.gpt_sovits import graph_part, semantic_model
    from toolkit.recipe.schema import GptSovits

    with clock.stage("read checkpoint"):
        model = semantic_model(read_checkpoint(path, "gpt"), share=True)
    settings = recipe.gpt_sovits or GptSovits()
    lengths = SemanticBuckets(prefill=settings.prefill[:1], cache_rows=settings.cache_rows[:1])
    speech = SpokenSentences(model, None, seed=recipe.seed)
    for graph in semantic_graphs(model, lengths, features=settings.text_features, seed=recipe.seed):
        if wanted(graph.kind):
            yield convert_float(graph_part(graph), recipe, clock, repro), speech.calibration(graph)


def write_recipe(recipe: Recipe, found: Sequence[PartSensitivity], path: Path) -> None:
    """Writes the recipe with the rules that were found, whole or not at all.

    Args:
        recipe: what was analysed.
        found: parts and their rules.
        path: YAML file.
    """
    parts = dict(recipe.parts)
    for each in found:
        own: Part = recipe.part(each.name)
        rules = (*own.precision.rules, *(PrecisionRule.model_validate(rule) for rule in each.rules))
        precision = own.precision.model_copy(update={"rules": rules})
        parts[each.name] = own.model_copy(update={"precision": precision})
    changed = recipe.model_copy(update={"parts": parts, "name": path.stem})
    with whole_file(path) as temporary:
        temporary.write_text(recipes.dump(changed), encoding="utf-8")


def analysis_text(found: Sequence[PartSensitivity]) -> str:
    """A table for each part: groups, weights, signal over noise with the group alone rounded, what stays in float."""
    lines = []
    for each in found:
        result = each.found
        lines += ["", f"{each.key}: signal over noise of the output with one group in 8 bits, all others in float"]
        lines.append(f"  {'group':<44}{'weights':>12}{'dB':>8}")
        for loss in result.losses:
            mark = "  stays in float" if loss.group in result.kept else ""
            lines.append(f"  {loss.group[-43:]:<44}{loss.weights:>12,}{loss.snr_db:>8.1f}{mark}")
        lines.append(
            f"  all in 8 bits {result.whole_db:.1f} dB; with {len(result.kept)} group(s) in float "
            f"{result.measured_db:.1f} dB measured, {result.predicted_db:.1f} dB predicted (powers added)"
        )
    return "\n".join(lines).lstrip("\n")


def analysis_json(found: Sequence[PartSensitivity]) -> list[dict[str, Any]]:
    """All numbers; ``null`` where nothing changed at all."""

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return [
        {
            "part": each.key,
            "groups": [
                {"group": loss.group, "weights": loss.weights, "snr_db": finite(loss.snr_db)}
                for loss in each.found.losses
            ],
            "kept_in_float": list(each.found.kept),
            "whole_db": finite(each.found.whole_db),
            "measured_db": finite(each.found.measured_db),
            "predicted_db": finite(each.found.predicted_db),
            "rules": each.rules,
        }
        for each in found
    ]
