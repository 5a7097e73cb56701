"""Holds what was measured against the recipe's limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from toolkit.recipe.schema import Gates
from toolkit.results import Gate, LatencyComparison, LatencyEstimate, Metric, Parity, Placement, Quality, Size, judge

_SHUFFLES = ("RESHAPE", "TRANSPOSE", "STRIDED_SLICE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The measurements gates are judged on; None or empty where nothing was measured.

    Attributes:
        quality: of the result against the float voice.
        whole: of a voice, all shipped parts together.
        missing_quality: why there is no quality.
        comparisons: latency of the result over float32.
        placements: static placement by the asked delegate.
        size: bytes before and after.
        float_macs_ratio: share of the decoder's (or model's) multiply-adds that stay in float.
        op_counts: operator type to count, over flow and decoder (or the model).
        output_snr_db: converted against torch, any model.
        main_part: ``decoder`` for voices, ``model`` otherwise.
        threads: thread count of the gated comparison.
        compressed_bytes: the bundle's files, each compressed.
        estimate: of the whole on the asked device; None without one.
    """

    quality: Quality | None
    missing_quality: str
    comparisons: tuple[LatencyComparison, ...]
    placements: tuple[Placement, ...]
    size: Size
    float_macs_ratio: float | None
    op_counts: dict[str, int]
    output_snr_db: float | None
    main_part: str
    threads: int
    compressed_bytes: int | None = None
    estimate: LatencyEstimate | None = None
    whole: Quality | None = None


def shuffle_ratio(op_counts: dict[str, int]) -> float:
    """Share of RESHAPE, TRANSPOSE and STRIDED_SLICE among all operators."""
    return sum(op_counts.get(kind, 0) for kind in _SHUFFLES) / max(1, sum(op_counts.values()))


def judge_gates(limits: Gates, parity: Iterable[Parity], evidence: Evidence) -> tuple[Gate, ...]:
    """One gate per limit the recipe sets, and one for parity, in the order a reader asks."""
    return (
        *_quality(limits, evidence),
        *_cost(limits, evidence),
        *_shape(limits, evidence),
        *_parity(limits, parity, evidence),
    )


def _quality(limits: Gates, evidence: Evidence) -> list[Gate]:
    shipped, whole = _metrics(evidence.quality), _metrics(evidence.whole)
    absent = evidence.missing_quality or "the metric's package is not installed"
    mos, speaker = "distillmos", "resemblyzer_cosine"
    rows = (
        ("mos_drop_mean", "DistillMOS below the float voice, mean", limits.mos_drop_mean_max, shipped.get(mos), False,
         "Predicted listening quality lost, mean over held-out sentences."),
        ("mos_drop_worst", "DistillMOS below the float voice, worst sentence", limits.mos_drop_worst_max,
         shipped.get(mos), True, "The same for the sentence that suffers most."),
        ("speaker_cosine", "Speaker similarity to the float voice", limits.speaker_cosine_min, shipped.get(speaker),
         False, "Cosine of resemblyzer d-vectors; the same speaker gives above 0.88."),
        ("whole_mos_drop_mean", "Whole voice: DistillMOS below the float voice, mean", limits.whole_mos_drop_mean_max,
         whole.get(mos), False, f"All shipped parts together, against: {_against(evidence.whole)}."),
        ("whole_speaker_cosine", "Whole voice: speaker similarity to the float voice", limits.whole_speaker_cosine_min,
         whole.get(speaker), False, f"All shipped parts together, against: {_against(evidence.whole)}."),
    )  # fmt: skip
    gates = []
    for name, title, limit, metric, worst, explanation in rows:
        if limit is None:
            continue
        found = None if metric is None else metric.worst if worst else metric.mean
        drop = "mos_drop" in name
        value = None if found is None else max(0.0, -found) if drop else found
        unit, sense = ("points", "<=") if drop else ("cosine", ">=")
        gates.append(judge(name, title, value, unit, limit, sense, explanation, skipped_because=absent))
    return gates


def _metrics(quality: Quality | None) -> dict[str, Metric]:
    return {metric.metric: metric for metric in quality.metrics} if quality else {}


def _against(quality: Quality | None) -> str:
    return quality.reference if quality else "nothing"


def _cost(limits: Gates, evidence: Evidence) -> list[Gate]:
    gates = []
    if limits.latency_ratio_max is not None:
        found = [
            c
            for c in evidence.comparisons
            if c.part.partition("@")[0] == evidence.main_part and c.threads == evidence.threads
        ]
        gates.append(
            judge(
                "latency_ratio",
                f"{evidence.main_part.capitalize()} latency over float32, {evidence.threads} threads",
                found[0].ratio if found else None,
                "ratio",
                limits.latency_ratio_max,
                "<=",
                "Both run interleaved in one process on the host CPU.",
                skipped_because="no benchmark was run",
            )
        )
    if limits.decoder_bytes_ratio_max is not None:
        parts = {(p.part.partition("@")[0], p.variant): p.total_bytes for p in evidence.size.parts}
        ratio = parts[evidence.main_part, "result"] / parts[evidence.main_part, "float32"]
        gates.append(
            judge(
                "bytes_ratio",
                f"{evidence.main_part.capitalize()} bytes over float32",
                ratio,
                "ratio",
                limits.decoder_bytes_ratio_max,
                "<=",
                "Size of the .tflite file.",
            )
        )
    if limits.total_bytes_max is not None:
        gates.append(
            judge(
                "total_bytes",
                "Whole bundle on disk",
                evidence.size.total_bytes,
                "bytes",
                limits.total_bytes_max,
                "<=",
                evidence.size.includes,
            )
        )
    if limits.compressed_bytes_max is not None:
        gates.append(
            judge(
                "compressed_bytes",
                "Whole bundle compressed",
                evidence.compressed_bytes,
                "bytes",
                limits.compressed_bytes_max,
                "<=",
                "What a store sends: each file of the bundle compressed with gzip.",
                skipped_because="it was not compressed",
            )
        )
    if limits.estimated_latency_ms_max is not None:
        gates.append(_estimated(limits.estimated_latency_ms_max, evidence.estimate))
    return gates


def _estimated(limit_ms: float, estimate: LatencyEstimate | None) -> Gate:
    where = f" on {estimate.device}, {estimate.unit}" if estimate else ""
    return judge(
        "estimated_latency",
        f"Latency estimated{where}",
        estimate.ms if estimate else None,
        "ms, estimated",
        limit_ms,
        "<=",
        f"Not measured: {estimate.sentence}." if estimate else "Not measured, estimated from public figures.",
        skipped_because="no device was named (delegate.device)",
    )


def _shape(limits: Gates, evidence: Evidence) -> list[Gate]:
    gates = []
    if limits.float_macs_ratio_max is not None:
        gates.append(
            judge(
                "float_macs_ratio",
                f"{evidence.main_part.capitalize()} multiply-adds left in float",
                evidence.float_macs_ratio,
                "ratio",
                limits.float_macs_ratio_max,
                "<=",
                "Read back from the flatbuffer, operator by operator.",
                skipped_because="no operator multiplies",
            )
        )
    if limits.shuffle_ops_ratio_max is not None:
        gates.append(
            judge(
                "shuffle_ratio",
                "RESHAPE + TRANSPOSE + STRIDED_SLICE share of operators",
                shuffle_ratio(evidence.op_counts),
                "ratio",
                limits.shuffle_ops_ratio_max,
                "<=",
                "Operators that only move data, in flow and decoder.",
            )
        )
    if limits.decoder_partitions_max is not None:
        gates.append(_partitions(limits.decoder_partitions_max, evidence))
    return gates


def _partitions(limit: int, evidence: Evidence) -> Gate:
    found = next((p for p in evidence.placements if p.part.partition("@")[0] == evidence.main_part), None)
    title = f"{evidence.main_part.capitalize()} partitions on the delegate"
    if found is None:
        return judge("partitions", title, None, "partitions", limit, "<=", "", skipped_because="nothing was placed")
    on_cpu = found.total_ops - found.delegated_ops
    gate = judge(
        "partitions",
        f"{title} ({found.delegate} {found.level})".replace(" )", ")"),
        float(found.partitions),
        "partitions",
        limit,
        "<=",
        "Static placement by the delegate's own source; 1 with nothing on the CPU means whole.",
    )
    if not on_cpu:
        return gate
    return gate.model_copy(update={"status": "fail", "explanation": f"{on_cpu} operators stay on the CPU."})


def _parity(limits: Gates, parity: Iterable[Parity], evidence: Evidence) -> list[Gate]:
    rows = [p for p in parity if p.limit_snr_db is not None and p.snr_db is not None]
    gates = []
    if rows:
        worst = min(rows, key=lambda p: p.snr_db)
        gates.append(
            judge(
                "parity",
                "Float hops against torch, worst",
                float(worst.snr_db),
                "dB",
                float(worst.limit_snr_db),
                ">=",
                f"Worst at {worst.part}, {worst.to}, {worst.tensor}; a hop below its limit stops the run.",
            )
        )
    if limits.output_snr_db_min is not None:
        gates.append(
            judge(
                "output_snr",
                "Result against torch",
                evidence.output_snr_db,
                "dB",
                limits.output_snr_db_min,
                ">=",
                "The shipped file on the probe inputs.",
                skipped_because="nothing was compared",
            )
        )
    return gates
