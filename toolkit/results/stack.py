"""A stack of compressions: every stage with its size, latency and quality, and whether its gate held."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from toolkit.results.measurement import Latency, LatencyComparison
from toolkit.results.record import Record, load_record, save_record
from toolkit.results.verdict import Gate

STACK_FILE = "stack.json"


class StackStage(Record):
    """One stage: what it was asked, what came of it.

    ``judged_on`` says whether quality is of the torch model or of the TFLite files. Of a text-to-semantic model,
    cross-entropy and top-1 are over the held-out sentences, and agreement is with the model that was given. Of a voice,
    the drop in DistillMOS (points, below 0 where the stage sounds better) and resemblyzer's cosine are against the
    voice ``StackResult.against``, mean over the held-out sentences and for the sentence that suffers most.
    ``bundle_bytes`` is the stage's model as a bundle, in float32 until the stage that quantises.
    """

    name: str
    title: str
    key: str
    reused: bool
    seconds: float = 0.0
    settings: dict[str, Any] = Field(default_factory=dict)
    parameters: int
    shape: str
    bundle_bytes: int
    cross_entropy_nats: float | None = None
    top1_ratio: float | None = None
    agreement_ratio: float | None = None
    mos_drop: float | None = None
    mos_drop_worst: float | None = None
    speaker_cosine: float | None = None
    speaker_cosine_worst: float | None = None
    judged_on: str
    gates: tuple[Gate, ...] = ()

    @property
    def held(self) -> bool:
        """Whether the stages after it may be made."""
        return all(gate.status in ("pass", "skipped") for gate in self.gates)


class StackClip(Record):
    """A held-out sentence as the stages say it; ``paths`` are the files by the stage's name."""

    id: str
    text: str
    paths: dict[str, str]


class StackResult(Record):
    """Everything a stack made, schema version 1. Sizes, quality and host latency are measured.

    ``predictions`` counts what a text-to-semantic model was judged on, ``utterances`` the sentences of a voice.
    ``trained`` is false where weights are random: then there are sizes and latency, and no quality. ``stopped_at`` is
    the stage whose gate did not hold; nothing was made after it.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    family: Literal["t2s", "voice"] = "t2s"
    model: str
    recipe: str
    description: str
    command: str
    inputs: dict[str, str]
    predictions: int = 0
    utterances: int = 0
    against: str = ""
    trained: bool = True
    stages: tuple[StackStage, ...]
    latency: tuple[Latency, ...] = ()
    comparisons: tuple[LatencyComparison, ...] = ()
    gates: tuple[Gate, ...] = ()
    clips: tuple[StackClip, ...] = ()
    stopped_at: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def all_gates(self) -> tuple[Gate, ...]:
        """Those between the stages, then those of the whole."""
        return (*(gate for stage in self.stages for gate in stage.gates), *self.gates)

    @property
    def passed(self) -> bool:
        """Whether every stage was made and no gate was broken."""
        gates = self.all_gates
        return not self.stopped_at and bool(gates) and all(gate.status in ("pass", "skipped") for gate in gates)


def save_stack(result: StackResult, path: Path) -> None:
    """Writes ``stack.json`` whole or not at all."""
    save_record(result, path)


def load_stack(path: Path) -> StackResult:
    """Reads a ``stack.json``.

    Raises:
        InputError: the file is missing, damaged, or of another schema version.
    """
    return load_record(StackResult, path, "a stack of schema 1", "stack again with this version of the toolkit")
