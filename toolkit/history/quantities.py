"""What of a result is followed over time, as rows that can be held against each other."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.results import RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One number of a result.

    Attributes:
        metric: what it is, with what it depends on: ``latency p50, result, 2 threads``.
        part: part it belongs to; ``whole`` for the model.
        unit: its unit.
        where: what it was measured on; empty when that is moot.
        value: the number.
        low: lower end of its 95 % interval, None where none is known.
        high: upper end.
        higher_is_better: which way is up.
        valid: whether it may be quoted.
    """

    metric: str
    part: str
    unit: str
    where: str = ""
    value: float
    low: float | None = None
    high: float | None = None
    higher_is_better: bool = False
    valid: bool = True


WHOLE = "whole"


def quantities(result: RunResult) -> tuple[Quantity, ...]:
    """Everything that is followed; estimates are not."""
    return (*_times(result), *_phone(result), *_bytes(result), *_quality(result), *_placement(result))


def _times(result: RunResult) -> list[Quantity]:
    return [
        Quantity(
            metric=f"latency p50, {x.variant}, {x.threads} threads",
            part=x.part,
            unit="ms",
            where=x.where,
            value=x.stats.p50_ms,
            low=x.stats.ci_low_ms,
            high=x.stats.ci_high_ms,
            valid=x.valid,
        )
        for x in result.latency
        if not x.estimated
    ]


def _phone(result: RunResult) -> list[Quantity]:
    found = []
    for x in result.phone.latencies if result.phone else ():
        label = f"{x.delegate}, {x.threads} threads"
        found.append(
            Quantity(
                metric=f"latency mean, {label}",
                part=x.part,
                unit="ms",
                where=x.where,
                value=x.avg_ms,
                low=x.ci_low_ms,
                high=x.ci_high_ms,
                valid=x.valid,
            )
        )
        if x.delegated_time_ratio is not None:
            share = x.delegated_time_ratio
            found.append(
                Quantity(
                    metric=f"time on the delegate, {label}",
                    part=x.part,
                    unit="ratio",
                    where=x.where,
                    value=share,
                    higher_is_better=True,
                    valid=x.valid,
                )
            )
    return found


def _bytes(result: RunResult) -> list[Quantity]:
    found = [
        Quantity(
            metric=f"peak memory over the runtime, {x.variant}, {x.threads} threads",
            part=x.part,
            unit="bytes",
            where=result.environment.host.cpu,
            value=x.over_runtime_bytes,
        )
        for x in result.memory
    ]
    if result.size is not None:
        size = result.size.total_bytes
        found.append(Quantity(metric="size on disk", part=WHOLE, unit="bytes", value=size, low=size, high=size))
    return found


def _quality(result: RunResult) -> list[Quantity]:
    if result.quality is None:
        return []
    return [
        Quantity(metric=x.title, part=WHOLE, unit=x.unit, value=x.mean, higher_is_better=x.higher_is_better)
        for x in result.quality.metrics
    ]


def _placement(result: RunResult) -> list[Quantity]:
    found = []
    for x in result.delegation:
        if x.total_ops:
            share = x.delegated_ops / x.total_ops
            found.append(
                Quantity(
                    metric=f"share of operators on {x.delegate}",
                    part=x.part,
                    unit="ratio",
                    value=share,
                    low=share,
                    high=share,
                    higher_is_better=True,
                )
            )
        count = float(x.partitions)
        found.append(
            Quantity(
                metric=f"partitions on {x.delegate}", part=x.part, unit="partitions", value=count, low=count, high=count
            )
        )
    return found
