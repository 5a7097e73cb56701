"""The whole result of a run: one versioned, frozen object, and its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from toolkit.results.delegation import Placement
from toolkit.results.estimate import LatencyEstimate
from toolkit.results.fidelity import Clip, Parity, PrecisionOp, PrecisionOverride, Quality, TensorError, Tried
from toolkit.results.gpu import GpuExecution
from toolkit.results.measurement import Latency, LatencyComparison, Memory, OpRun, OpTime, Point, Size, Sparsity
from toolkit.results.npu import NpuCompilation
from toolkit.results.phone import PhoneBench
from toolkit.results.provenance import Artifact, Environment, Origin, Run, Stage
from toolkit.results.record import Record, load_record, save_record
from toolkit.results.runtime import RuntimeNeed
from toolkit.results.sentence import Sentence
from toolkit.results.verdict import Gate, Recommendation, Validity, Warn

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
    runtimes: tuple[RuntimeNeed, ...] = ()
    sentence: Sentence | None = None
    gpu_executions: tuple[GpuExecution, ...] = ()
    npu_compilations: tuple[NpuCompilation, ...] = ()
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
    whole_voice: Quality | None = None
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


def save(result: RunResult, path: Path) -> None:
    """Writes ``results.json`` whole or not at all."""
    save_record(result, path)


def load(path: Path) -> RunResult:
    """Reads a ``results.json``.

    Raises:
        InputError: the file is missing, damaged, or of another schema version.
    """
    what = f"a results file of schema {SCHEMA_VERSION}"
    return load_record(RunResult, path, what, "write it again with this version of the toolkit")


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``results.json``; what `toolkit report --schema` prints."""
    schema = RunResult.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
