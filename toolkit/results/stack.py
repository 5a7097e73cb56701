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

    Cross-entropy and top-1 are over the held-out sentences; ``judged_on`` says whether of the torch model or of the
    TFLite files. Agreement is with the model that was given. ``bundle_bytes`` is the stage's model as a bundle, in
    float32 until the stage that quantises.
    """

    name: str
    title: str
    key: str
    reused: bool
    seconds: float
    settings: dict[str, Any] = Field(default_factory=dict)
    parameters: int
    shape: str
    bundle_bytes: int
    cross_entropy_nats: float | None = None
    top1_ratio: float | None = None
    agreement_ratio: float | None = None
    judged_on: str
    gate: Gate | None = None


class StackResult(Record):
    """Everything a stack made, schema version 1. Sizes, quality and host latency are measured.

    ``trained`` is false where weights are random: then there are sizes and latency, and no quality. ``stopped_at`` is
    the stage whose gate did not hold; nothing was made after it.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    model: str
    recipe: str
    description: str
    command: str
    inputs: dict[str, str]
    predictions: int
    trained: bool = True
    stages: tuple[StackStage, ...]
    latency: tuple[Latency, ...] = ()
    comparisons: tuple[LatencyComparison, ...] = ()
    gates: tuple[Gate, ...] = ()
    stopped_at: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every stage was made and no gate was broken."""
        gates = [*self.gates, *(stage.gate for stage in self.stages if stage.gate is not None)]
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
