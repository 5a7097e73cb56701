"""Small made-up results to hold against each other. No number in them was measured."""

from __future__ import annotations

import numpy as np

from toolkit.bench.stats import summarise
from toolkit.results import (
    Environment,
    Host,
    Latency,
    Metric,
    MetricValue,
    PartSize,
    Placement,
    Quality,
    Run,
    RunResult,
    Size,
    Utterance,
    Validity,
)

PLACE = "host CPU: made up"


def latency(centre, *, seed=0, race=None, where=PLACE, noise=0.01, valid=True, drift=None, estimated=False):
    """Samples around a centre; ``drift`` multiplies them round by round, as another process would."""
    draw = np.random.default_rng(seed)
    samples = centre * (1 + noise * np.abs(draw.standard_normal(40)))
    samples = samples * drift if drift is not None else samples
    return Latency(
        part="decoder",
        variant="result",
        threads=2,
        where=where,
        init_ms=1.0,
        first_ms=2.0,
        samples_ms=tuple(float(s) for s in samples),
        stats=summarise(samples),
        valid=valid,
        reasons=() if valid else ("made up to be invalid",),
        race=race,
        estimated=estimated,
    )


def placement(delegated, partitions, total=10):
    return Placement(
        delegate="nnapi",
        part="decoder",
        method="made up",
        ops=(),
        partitions=partitions,
        delegated_ops=delegated,
        total_ops=total,
        transitions=0,
    )


def quality(scores, unit="points"):
    return Quality(
        reference="float",
        candidate="result",
        held_out=True,
        utterances=tuple(
            Utterance(id=f"s{i}", text=f"Sentence {i}.", seconds=1.0, metrics={"mos": MetricValue(value=score)})
            for i, score in enumerate(scores)
        ),
        metrics=(
            Metric(
                metric="mos",
                title="Opinion",
                unit=unit,
                higher_is_better=True,
                mean=float(np.mean(scores)),
                worst=min(scores),
                worst_utterance="s0",
                explanation="",
            ),
        ),
    )


def size(total):
    return Size(
        parts=(PartSize(part="decoder", variant="result", total_bytes=total),), baseline_bytes=10_000, total_bytes=total
    )


def result(*latencies, model="voice", started="2026-11-01T10:00:00+00:00", run_id="r", **fields):
    valid = all(x.valid for x in latencies)
    return RunResult(
        run=Run(id=run_id, model=model, command="toolkit made up", started=started),
        environment=Environment(host=Host(cpu="made up", logical_cores=2)),
        latency=latencies,
        validity=Validity(valid=valid, reasons=() if valid else ("made up",)),
        **fields,
    )
