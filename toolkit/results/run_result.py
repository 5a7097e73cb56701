"""The whole result of a run: one versioned, frozen object, and its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from converters.errors import InputError
from toolkit.results.delegation import Placement
from toolkit.results.estimate import LatencyEstimate
from toolkit.results.fidelity import Clip, Parity, PrecisionOp, PrecisionOverride, Quality, TensorError, Tried
from toolkit.results.measurement import Latency, LatencyComparison, Memory, OpRun, OpTime, Point, Size, Sparsity
from toolkit.results.phone import PhoneBench
from toolkit.results.provenance import Artifact, Environment, Origin, Run, Stage
from toolkit.results.record import Record
from toolkit.results.verdict import Gate, Recommendation, Validity, Warn
from toolkit.whole_file import whole_file

SCHEMA_VERSION = 1


class RunResult(Record):
    """Everything one run measured, schema version 1."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    run: Run
    origin: Origin | None = None
    environment: Environment
    artifacts: tuple[Artifact, ...] = ()
    stages: tuple[Stage, ...] = ()
    parity: tuple[Parity, ...] = ()
    tensor_errors: tuple[TensorError, ...] = ()
    precision: tuple[PrecisionOp, ...] = ()
    overrides: tuple[PrecisionOverride, ...] = ()
    delegation: tuple[Placement, ...] = ()
    latency: tuple[Latency, ...] = ()
    comparisons: tuple[LatencyComparison, ...] = ()
    estimates: tuple[LatencyEstimate, ...] = ()
    op_times: tuple[OpTime, ...] = ()
    op_runs: tuple[OpRun, ...] = ()
    memory: tuple[Memory, ...] = ()
    phone: PhoneBench | None = None
    size: Size | None = None
    sparsity: tuple[Sparsity, ...] = ()
    quality: Quality | None = None
    clips: tuple[Clip, ...] = ()
    tried: tuple[Tried, ...] = ()
    gates: tuple[Gate, ...] = ()
    validity: Validity
    warnings: tuple[Warn, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    points: tuple[Point, ...] = ()
    not_measured: dict[str, str] = Field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True when gates exist and none failed or broke. Skipped gates do not fail a run; the report shows them."""
        return bool(self.gates) and not any(gate.status in ("fail", "error") for gate in self.gates)


def to_json(result: RunResult) -> str:
    """The result as stable, indented JSON."""
    return json.dumps(result.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False) + "\n"


def save(result: RunResult, path: Path) -> None:
    """Writes ``results.json`` whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text(to_json(result), encoding="utf-8")


def load(path: Path) -> RunResult:
    """Reads a ``results.json``.

    Raises:
        InputError: the file is missing, damaged, or of another schema version.
    """
    try:
        return RunResult.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise InputError(
            f"not a results file of schema {SCHEMA_VERSION}: {error}",
            code="results/unreadable",
            where=str(path),
            hint="write it again with this version of the toolkit",
        ) from error


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``results.json``; what `toolkit report --schema` prints."""
    schema = RunResult.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
