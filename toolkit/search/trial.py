"""Tries one version: an ordinary conversion, measured but not timed on the host, and read off."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from converters.errors import ToolError
from toolkit.errors import AuditError, RecipeError
from toolkit.pipeline.events import Listener
from toolkit.pipeline.manifest import RECIPE_FILE
from toolkit.pipeline.run import Options, Outcome
from toolkit.recipe.schema import Recipe
from toolkit.results import Gate
from toolkit.results.search import Score, Version, Violation
from toolkit.search.job import Job
from toolkit.search.knobs import Subject, recipe_of

_KEPT = (
    "results.json",
    "index.html",
    "report.md",
    "model_card.md",
    "trace.json",
    "model_explorer",
    RECIPE_FILE,
    "audio",
)
_REFUSALS = (RecipeError, AuditError)
"""A precision that cannot be had is an answer; everything else is an error and ends the search."""
_REASON_LENGTH = 300
_WHERE_INSTALLED = frozenset({"npu_operators", "gpu_float_snr", "gpu_wrong_outputs"})
"""Gates that ask Qualcomm's compiler or the software GPU: skipped, and said to be, where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where versions are tried.

    Attributes:
        job: the model.
        subject: what is searched.
        folder: where the versions' reports go, ``0007`` each.
        listener: told about every version.
    """

    job: Job
    subject: Subject
    folder: Path
    listener: Listener


def try_version(bench: Bench, number: int, chosen: Mapping[str, str]) -> Version:
    """Converts one version and keeps its report, not its files: the best one is converted again, from shared work.

    Raises:
        ToolError: anything that is no fault of the version's settings.
    """
    started = time.monotonic()
    recipe = trial_recipe(bench.subject, chosen)
    place = version_folder(bench.folder, number)
    shutil.rmtree(place, ignore_errors=True)  # of an interrupted search
    try:
        outcome = bench.job.convert(recipe, place, Options(benchmark=False), chosen)
    except _REFUSALS as error:
        return Version(
            number=number,
            chosen=dict(chosen),
            refused=_in_one_line(error),
            refused_part=error.part,
            seconds=time.monotonic() - started,
        )
    score = bench.job.score(outcome, place)
    _keep_report(place)
    return read_version(outcome, score, number, chosen, time.monotonic() - started)


def version_folder(folder: Path, number: int) -> Path:
    """Where a version's report is."""
    return folder / f"{number:04d}"


def trial_recipe(subject: Subject, chosen: Mapping[str, str]) -> Recipe:
    """The version's recipe, judged on the few sentences of the search."""
    recipe = recipe_of(subject, chosen)
    utterances = min(recipe.quality.utterances, subject.intent.utterances)
    return recipe.model_copy(update={"quality": recipe.quality.model_copy(update={"utterances": utterances})})


def read_version(
    outcome: Outcome, score: Score | None, number: int, chosen: Mapping[str, str], seconds: float
) -> Version:
    """What a conversion found, as the search compares it."""
    result = outcome.result
    failed = [gate for gate in result.gates if gate.status == "fail"]
    return Version(
        number=number,
        chosen=dict(chosen),
        size_bytes=result.size.total_bytes if result.size else None,
        part_bytes={p.part: p.total_bytes for p in (result.size.parts if result.size else ()) if p.variant == "result"},
        score=score,
        latency=result.estimates[-1] if result.estimates else None,
        part_ms={each.part: each.ms for each in result.estimates[:-1]},
        violations=tuple(_violation(gate) for gate in failed if gate.value is not None and gate.limit is not None),
        unknown=tuple(f"{gate.title}: {gate.explanation}" for gate in result.gates if _is_unknown(gate)),
        seconds=seconds,
    )


def _is_unknown(gate: Gate) -> bool:
    """Whether a limit could not be held against anything; checks that only an installation can make are no limits."""
    return gate.status == "error" or (gate.status == "skipped" and gate.id not in _WHERE_INSTALLED)


def _violation(gate: Gate) -> Violation:
    value, limit = float(gate.value or 0.0), float(gate.limit or 0.0)
    beyond = limit - value if gate.comparison == ">=" else value - limit
    return Violation(
        gate=gate.id,
        title=gate.title.partition(" on ")[0] if gate.id == "estimated_latency" else gate.title,
        value=value,
        limit=limit,
        unit=gate.unit,
        excess_ratio=beyond / max(abs(limit), 1e-12),
    )


def _keep_report(place: Path) -> None:
    for entry in place.iterdir():
        if entry.name in _KEPT:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _in_one_line(error: ToolError) -> str:
    words = " ".join(error.message.split())
    shown = words if len(words) <= _REASON_LENGTH else f"{words[:_REASON_LENGTH]} …"
    return f"{shown} [{error.code}]"
