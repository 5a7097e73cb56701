"""What was measured on a phone, over adb with TFLite's benchmark_model.

The tool prints summaries and no samples, so these records hold summaries: no percentile stands here that it did not
print. Times are milliseconds, sizes bytes, temperatures degrees Celsius.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from toolkit.results.provenance import Device
from toolkit.results.record import Record

PhoneDelegate = Literal["nnapi", "gpu", "xnnpack", "qnn"]
Extent = Literal["all", "part", "none"]

THERMAL_NAMES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Android's thermal statuses, 0 to 6; from 1 on the system slows something down."""


class PhoneState(Record):
    """What decides how fast a phone is, at one moment.

    ``governors`` and ``max_khz`` go by cpufreq policy; a lower ``max_khz`` than before means that the kernel caps the
    clock. ``unreadable`` says what could not be read, and why: it is never taken for "all is well".
    """

    thermal_status: int | None = None
    temperatures_c: dict[str, float] = Field(default_factory=dict)
    governors: dict[str, str] = Field(default_factory=dict)
    max_khz: dict[str, int] = Field(default_factory=dict)
    battery_percent: float | None = None
    battery_c: float | None = None
    charging: bool | None = None
    battery_saver: bool | None = None
    unreadable: dict[str, str] = Field(default_factory=dict)


class PhoneTiming(Record):
    """Summary of one process of benchmark_model; ``runs`` are those after the warm-up."""

    runs: int
    warmup_runs: int
    init_ms: float
    first_ms: float
    warmup_avg_ms: float
    avg_ms: float
    std_ms: float
    min_ms: float
    max_ms: float
    p5_ms: float | None = None
    median_ms: float | None = None
    p95_ms: float | None = None
    init_memory_bytes: int | None = None
    overall_memory_bytes: int | None = None
    peak_memory_bytes: int | None = None


class PhoneOp(Record):
    """One row of the profile: a CPU operator, a delegated partition, or an operator the delegate names itself."""

    subgraph: int = 0
    index: int
    op_type: str
    name: str
    avg_ms: float
    calls: int
    delegated: bool


class Applied(Record):
    """What benchmark_model says about a delegate it was told to apply; ``kernels`` are its partitions."""

    name: str
    extent: Extent
    kernels: int


class PhoneLatency(Record):
    """One part under one delegate on one phone.

    ``avg_ms`` is the mean over ``timings``, each a process of its own without profiling; ``ci_low_ms`` to
    ``ci_high_ms`` is its 95 % interval, made as ``interval`` says. ``ops`` come from one more process, with profiling,
    whose time does not count. ``delegated_time_ratio`` is the delegate's share of the profile.
    """

    part: str
    variant: str = "result"
    file_sha256: str
    where: str
    delegate: PhoneDelegate
    threads: int
    timings: tuple[PhoneTiming, ...]
    avg_ms: float
    ci_low_ms: float
    ci_high_ms: float
    interval: str
    applied: tuple[Applied, ...] = ()
    accelerators: tuple[str, ...] = ()
    replaced_ops: int | None = None
    total_ops: int | None = None
    ops: tuple[PhoneOp, ...] = ()
    delegate_ops: tuple[PhoneOp, ...] = ()
    delegated_time_ratio: float | None = None
    valid: bool
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class PhoneBench(Record):
    """A whole session with a phone: what it is, its state before and after, and every part measured."""

    device: Device
    delegate: PhoneDelegate
    tool_sha256: str
    before: PhoneState
    after: PhoneState
    latencies: tuple[PhoneLatency, ...]
    notes: tuple[str, ...] = ()
