"""How close the result is to the model it came from: parity, precision, listening quality."""

from __future__ import annotations

from pydantic import Field

from toolkit.results.record import Decibels, Record


class Parity(Record):
    """A representation of a part (``to``), made from the one before it (``from``), against torch on the same inputs."""

    part: str
    source: str = Field(alias="from")
    to: str
    tensor: str
    max_abs: float
    snr_db: Decibels
    cosine: float | None = None
    inputs: str = "random"
    limit_snr_db: float | None = None


class TensorError(Record):
    """Error of one intermediate tensor of the shipped file against its layer in float, in execution order.

    ``name`` is the layer's torch module path and operator, with those merged into it. ``snr_db`` is of the error that
    has gathered on the way there, ``own_snr_db`` of what the operator itself adds: against the layer in float on the
    values the file fed it. The float layers have the weights the file was made of, after equalisation and training.
    """

    part: str
    index: int
    name: str
    snr_db: Decibels
    own_snr_db: Decibels = None
    precision: str = ""
    inputs: str = ""


class PrecisionOp(Record):
    """Asked against realised precision of one operator, read back from the flatbuffer."""

    part: str
    op: str
    kind: str
    asked: str
    realised: str
    because: str = ""
    macs: int | None = None
    bytes: int | None = None


class PrecisionOverride(Record):
    """A rule of the recipe with the torch names it matched and what it cost."""

    pattern: str
    precision: str
    because: str
    matched: tuple[str, ...]
    cost_bytes: int | None = None
    cost_ms: float | None = None
    gain_db: float | None = None


class MetricValue(Record):
    """One metric on one utterance; ``reference`` is the float voice's own value where the metric has one."""

    value: float
    reference: float | None = None


class Utterance(Record):
    """A sentence the run was judged on."""

    id: str
    text: str
    seconds: float
    metrics: dict[str, MetricValue]


class Metric(Record):
    """A metric over all utterances. For metrics with a reference, ``mean`` and ``worst`` are value minus reference."""

    metric: str
    title: str
    unit: str
    higher_is_better: bool
    mean: float
    worst: float
    worst_utterance: str
    explanation: str


class Quality(Record):
    """What listening models and signal measures say about the result against the float voice."""

    reference: str
    candidate: str
    held_out: bool
    utterances: tuple[Utterance, ...]
    metrics: tuple[Metric, ...]


class Clip(Record):
    """Audio to listen to; paths are relative to the run directory."""

    id: str
    text: str
    reference_path: str
    candidate_path: str
    seconds: float


class Tried(Record):
    """A configuration that was tried while compressing a part. Ratios are over the float32 variant."""

    part: str
    name: str
    float_macs_ratio: float | None = None
    size_bytes: int | None = None
    bytes_ratio: float | None = None
    snr_db: Decibels = None
    mos_drop_mean: float | None = None
    mos_drop_worst: float | None = None
    speaker_cosine: float | None = None
    latency_ratio: float | None = None
    train_steps: int | None = None
    chosen: bool = False
    note: str = ""
