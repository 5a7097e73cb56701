"""One conversion from request to report. Every artefact lands in a run directory that appears whole or not at all."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from toolkit.data import Manifest, load_manifest
from toolkit.estimate.devices import find_device
from toolkit.pipeline import sources
from toolkit.pipeline.artefacts import write_float, write_shipped, write_voice_files
from toolkit.pipeline.assemble import Findings, assemble
from toolkit.pipeline.early_rules import MODEL_PARTS, check_names, check_release, check_voice
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.evidence import SCRATCH, Judged, judge_run
from toolkit.pipeline.float_chain import FloatPart, convert_float
from toolkit.pipeline.manifest import write_manifest
from toolkit.pipeline.parts import voice_parts
from toolkit.pipeline.reuse import Reuse, float_digest
from toolkit.pipeline.run_directory import RunDirectory, building, refuse_foreign_directory, resume_folder
from toolkit.pipeline.shipping import ship
from toolkit.pipeline.sources import Request, Source, SourcePart
from toolkit.pipeline.verdict import verdict_text
from toolkit.recipe.schema import Recipe
from toolkit.results import RunResult, save


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Choices that do not change the artefacts' bytes.

    Attributes:
        keep_keras: also write the trainable Keras models.
        command: the command line, for the report.
        benchmark: measure latency and memory on the host.
    """

    keep_keras: bool = False
    command: str = "toolkit convert"
    benchmark: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run ends with.

    Attributes:
        result: everything measured.
        verdict: a few lines for the terminal.
        passed: whether every gate holds.
        judged: the findings the result was made of.
    """

    result: RunResult
    verdict: str
    passed: bool
    judged: Judged | None = None


def run(
    request: Request, recipe: Recipe, out: Path, options: Options, listener: Listener, reuse: Reuse | None = None
) -> Outcome:
    """Converts, compresses, verifies, measures and reports.

    ``reuse`` carries work over from earlier runs of the same model.

    Raises:
        ToolError: input, parity, audit or tool failure; ``out`` is untouched then.
    """
    started = time.time()
    refuse_foreign_directory(out)
    if recipe.delegate.device:
        find_device(recipe.delegate.device)  # before the work, not after it
    check_release(recipe)
    clock = StageClock(listener)
    reuse = reuse or Reuse()
    opened = f"{request!r} {recipe.buckets!r} {recipe.seed}"
    source, parts, manifest = reuse.opened(opened, lambda: open_source(request, recipe, clock))
    if source.voice is not None:
        check_voice(recipe, parts)
    else:
        check_names(recipe, MODEL_PARTS)
    repro = out.with_name(f"{out.name}-repro")
    resume = resume_folder(out)
    with building(out) as directory:
        floats = [_float_part(part, recipe, clock, repro, directory, options, reuse) for part in parts]
        shipped = ship(floats, source, recipe, manifest, clock, resume, reuse)
        write_shipped(directory, shipped, recipe)
        if source.voice is not None:
            write_voice_files(directory, source.voice, recipe)
        findings = judge_run(
            source, floats, shipped, recipe, manifest, directory, clock, benchmark=options.benchmark, reuse=reuse
        )
        shutil.rmtree(directory.path / SCRATCH)
        write_manifest(directory, source, recipe, manifest.sha256 if manifest else None)
        result = assemble(
            Findings(
                source=source,
                recipe=recipe,
                parity=tuple(row for part in floats for row in part.parity),
                shipped=tuple(shipped),
                judged=findings,
                stages=tuple(clock.records),
                command=options.command,
                started=started,
                directory=directory.path,
            )
        )
        write_results(result, directory, clock)
    shutil.rmtree(resume, ignore_errors=True)
    return Outcome(result=result, verdict=verdict_text(result, out), passed=result.passed, judged=findings)


def open_source(
    request: Request, recipe: Recipe, clock: StageClock
) -> tuple[Source, list[SourcePart], Manifest | None]:
    """A model or voice with its parts; the calibration data where it is a voice."""
    if sources.kind_of(request) == "model":
        with clock.stage("open model") as stage:
            source, part = sources.open_model(request, recipe.seed)
            stage.fact = source.label
        return source, [part], None
    with clock.stage("open voice") as stage:
        manifest = load_manifest()
        source = sources.open_voice(request)
        parts = voice_parts(source, recipe, manifest.split("calibration"))
        stage.fact = f"{source.name}: {source.label}"
    return source, parts, manifest


def _float_part(
    part: SourcePart,
    recipe: Recipe,
    clock: StageClock,
    repro: Path,
    directory: RunDirectory,
    options: Options,
    reuse: Reuse,
) -> FloatPart:
    found = reuse.float_part(float_digest(part, recipe), lambda: convert_float(part, recipe, clock, repro))
    write_float(directory, found, keep_keras=options.keep_keras)
    return found


def write_results(result: RunResult, directory: RunDirectory, clock: StageClock) -> None:
    """Writes ``results.json`` and the pages made of it."""
    from toolkit.report import write_report

    with clock.stage("report") as stage:
        save(result, directory.path / "results.json")
        paths = write_report(result, directory.path)
        stage.fact = paths.html.name
