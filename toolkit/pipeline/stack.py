"""Stages that follow each other with gates between, whatever kind of model they are of.

A family (`stack_semantic`, `stack_voice`) knows how its stages are made and judged; here is what is the same for all:
the order, the stop at the first gate that does not hold, the race of all stages, the run directory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from toolkit.bench.host import Race
from toolkit.models.threads import threads_of
from toolkit.pipeline.run_directory import refuse_foreign_directory
from toolkit.pipeline.stack_directory import LastStage, Take, write_stack
from toolkit.recipe.stacking import Stack, StackFamily, VoiceStack
from toolkit.results import Gate
from toolkit.results.stack import StackResult, StackStage

GIVEN, DISTIL, PRUNE, QUANTISE = "given", "distil", "prune", "quantise"
TITLES: Final = {GIVEN: "as given", DISTIL: "distilled", PRUNE: "pruned", QUANTISE: "quantised"}
TORCH: Final = "torch, float32"
FILES: Final = "TFLite files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One stage.

    Attributes:
        row: what is known of it, its gates included.
        run: run directory with its ``bundle``.
        model: the file of its model in float; ``None`` where that is what was given.
    """

    row: StackStage
    run: Path
    model: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is stacked, known once the first stage is made; fields as in `StackResult`.

    Attributes:
        name: of the model.
        inputs: sha256 of everything read, by name.
        predictions: what it is judged on, of a text-to-semantic model.
        utterances: likewise, of a voice.
        against: likewise, what a voice is compared with.
        trained: whether quality means anything.
        notes: for the reader.
    """

    name: str
    inputs: Mapping[str, str]
    predictions: int = 0
    utterances: int = 0
    against: str = ""
    trained: bool = True
    notes: tuple[str, ...] = ()


Maker = Callable[[Made], Made]
"""Makes a stage from the one before."""


class Stages(Protocol):
    """A kind of model with its stages."""

    family: StackFamily

    def given(self) -> Made:
        """The model as it was given, in float32."""
        ...

    def makers(self) -> Sequence[Maker]:
        """The stages that follow, in their order."""
        ...

    def subject(self) -> Subject:
        """What is stacked; asked after ``given``."""
        ...

    def race(self, runs: Mapping[str, Path]) -> Race:
        """Times every stage's bundle in turns; the first is the baseline."""
        ...

    def takes(self) -> Sequence[Take]:
        """Sentences to listen to; asked when every stage is made."""
        ...

    def whole_gates(self, stages: Sequence[StackStage], raced: Race | None) -> tuple[Gate, ...]:
        """What the last stage is held to against the first."""
        ...


def run_stack(
    stages: Stages, stack: Stack | VoiceStack, out: Path, *, command: str = "toolkit stack", threads: int = 1
) -> StackResult:
    """Runs every stage up to the first whose gates do not hold, and writes the run directory.

    Args:
        stages: of the kind of model.
        stack: the recipe they were made of.
        out: run directory; it appears whole or not at all.
        command: the command line, for the page.
        threads: of torch; another number may change the last bits.

    Raises:
        ToolError: whatever is wrong with the model, the data or the recipe; ``out`` is untouched then.
    """
    refuse_foreign_directory(out)
    started = time.perf_counter()
    stopped = ""
    with threads_of(threads):
        made = [_timed(stages.given)]
        for maker in stages.makers():
            made.append(_timed(partial(maker, made[-1])))
            if not made[-1].row.held:
                stopped = made[-1].row.name
                break
    raced = stages.race({each.row.name: each.run for each in made}) if len(made) > 1 else None
    rows, subject = tuple(each.row for each in made), stages.subject()
    result = StackResult(
        family=stages.family,
        model=subject.name,
        recipe=stack.name,
        description=stack.description,
        command=command,
        inputs=dict(subject.inputs),
        predictions=subject.predictions,
        utterances=subject.utterances,
        against=subject.against,
        trained=subject.trained,
        notes=subject.notes,
        stages=rows,
        latency=() if raced is None else raced.latencies,
        comparisons=() if raced is None else raced.comparisons,
        gates=() if stopped else stages.whole_gates(rows, raced),
        stopped_at=stopped,
        seconds=round(time.perf_counter() - started, 1),
    )
    last = LastStage(run=made[-1].run, model=made[-1].model)
    return write_stack(out, result, stack, last, stages.takes())


def _timed(make: Callable[[], Made]) -> Made:
    began = time.perf_counter()
    made = make()
    seconds = round(time.perf_counter() - began, 1)
    return replace(made, row=made.row.model_copy(update={"seconds": seconds}))
