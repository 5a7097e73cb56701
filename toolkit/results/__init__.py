"""What a run measured: one versioned, frozen object. Reports, gates and comparisons read nothing else.

Nothing here is inferred: a number that was not measured is ``None`` and ``not_measured`` says why. Sizes are bytes,
times are milliseconds unless the name says seconds, ratios lie in [0, 1] unless they compare two measurements.
"""

from toolkit.results.delegation import DelegateName, OpPlacement, Placement
from toolkit.results.estimate import LatencyEstimate
from toolkit.results.fidelity import (
    Clip,
    Metric,
    MetricValue,
    Parity,
    PrecisionOp,
    PrecisionOverride,
    Quality,
    TensorError,
    Tried,
    Utterance,
)
from toolkit.results.gpu import Float16Estimate, GpuExecution, GpuOutput
from toolkit.results.history import Trend, TrendPoint
from toolkit.results.measurement import (
    Latency,
    LatencyComparison,
    LatencyStats,
    Memory,
    OpRun,
    OpTime,
    PartSize,
    Point,
    Size,
    Sparsity,
)
from toolkit.results.npu import NpuCompilation
from toolkit.results.phone import Applied, PhoneBench, PhoneDelegate, PhoneLatency, PhoneOp, PhoneState, PhoneTiming
from toolkit.results.provenance import Artifact, Device, Environment, Host, Origin, Run, Stage
from toolkit.results.record import to_json
from toolkit.results.run_result import SCHEMA_VERSION, RunResult, json_schema, load, save
from toolkit.results.runtime import OperatorAge, RuntimeNeed
from toolkit.results.sentence import Sentence, SentencePhases
from toolkit.results.verdict import Comparison, Gate, Recommendation, Status, Validity, Warn, judge

__all__ = [
    "SCHEMA_VERSION",
    "Applied",
    "Artifact",
    "Clip",
    "Comparison",
    "DelegateName",
    "Device",
    "Environment",
    "Float16Estimate",
    "Gate",
    "GpuExecution",
    "GpuOutput",
    "Host",
    "Latency",
    "LatencyComparison",
    "LatencyEstimate",
    "LatencyStats",
    "Memory",
    "Metric",
    "MetricValue",
    "NpuCompilation",
    "OpPlacement",
    "OpRun",
    "OpTime",
    "OperatorAge",
    "Origin",
    "Parity",
    "PartSize",
    "PhoneBench",
    "PhoneDelegate",
    "PhoneLatency",
    "PhoneOp",
    "PhoneState",
    "PhoneTiming",
    "Placement",
    "Point",
    "PrecisionOp",
    "PrecisionOverride",
    "Quality",
    "Recommendation",
    "Run",
    "RunResult",
    "RuntimeNeed",
    "Sentence",
    "SentencePhases",
    "Size",
    "Sparsity",
    "Stage",
    "Status",
    "TensorError",
    "Trend",
    "TrendPoint",
    "Tried",
    "Utterance",
    "Validity",
    "Warn",
    "json_schema",
    "judge",
    "load",
    "save",
    "to_json",
]
