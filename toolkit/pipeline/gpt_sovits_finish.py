"""What follows the graphs of a GPT-SoVITS run: bundle, measurements, manifest, report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.pipeline.assemble import Findings, assemble
from toolkit.pipeline.engine_bundle import BundleGraph, write_engine_bundle
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.evidence import SCRATCH
from toolkit.pipeline.gpt_sovits_evidence import ConvertedGraph, choice_notes, judge_pair
from toolkit.pipeline.gpt_sovits_listening import Listening, listen
from toolkit.pipeline.gpt_sovits_sentence import measure_sentence
from toolkit.pipeline.manifest import write_manifest
from toolkit.pipeline.run import write_results
from toolkit.pipeline.run_directory import RunDirectory
from toolkit.pipeline.sources import Source
from toolkit.recipe.schema import Recipe
from toolkit.results import RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A run from its beginning.

    Attributes:
        clock: its stages.
        command: the command line.
        seconds: when it began, since the epoch.
    """

    clock: StageClock
    command: str
    seconds: float

    @classmethod
    def now(cls, clock: StageClock, command: str) -> Started:
        """A run that begins."""
        return cls(clock=clock, command=command, seconds=time.time())


def finish(
    graphs: Sequence[ConvertedGraph],
    facts: Mapping[str, Any],
    source: Source,
    recipe: Recipe,
    directory: RunDirectory,
    started: Started,
    listening: Listening,
) -> RunResult:
    """Writes everything but the graphs' float files, which are there.

    Args:
        graphs: all of them.
        facts: of ``engine.json``.
        source: what was converted.
        recipe: how.
        directory: the run's.
        started: the run so far.
        listening: who says held-out sentences.
    """
    clock = started.clock
    with clock.stage("bundle") as stage:
        bundled = [_bundled(graph) for graph in graphs]
        sizes = write_engine_bundle(directory, bundled, facts, recipe)
        stage.fact = f"{sum(sizes.values()):,} bytes"
    heard = listen(listening, recipe, directory, clock)
    said = measure_sentence(bundled, facts, recipe, directory, clock)
    judged = judge_pair(graphs, recipe, directory, clock, heard, said)
    shutil.rmtree(directory.path / SCRATCH)
    write_manifest(directory, source, recipe)
    result = assemble(
        Findings(
            source=source,
            recipe=recipe,
            parity=tuple(row for graph in graphs for row in graph.rows()),
            shipped=tuple(graph.shipped for graph in graphs),
            judged=judged,
            stages=tuple(clock.records),
            command=started.command,
            started=started.seconds,
            directory=directory.path,
            notes=choice_notes(graphs),
        )
    )
    write_results(result, directory, clock)
    return result


def _bundled(graph: ConvertedGraph) -> BundleGraph:
    part = graph.shipped
    return BundleGraph(
        name=graph.name,
        kind=part.name,
        tflite=part.tflite,
        interface=part.interface,
        torch_names=part.torch_names,
        slow_on_cpu=part.slow_on_cpu,
    )
