"""Puts everything a run found into one results object."""

from __future__ import annotations

import datetime
import resource
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.bench.machine import environment
from toolkit.delegates.levels import level_title, parse_level
from toolkit.delegates.runtime import runtime_needs
from toolkit.pipeline.events import StageRecord
from toolkit.pipeline.evidence import DELEGATES, Judged
from toolkit.pipeline.layer_comparison import not_compared
from toolkit.pipeline.listening import summary
from toolkit.pipeline.manifest import RECIPE_FILE
from toolkit.pipeline.provenance import commit, lock_sha256
from toolkit.pipeline.recommendations import recommendations
from toolkit.pipeline.run_directory import file_sha256
from toolkit.pipeline.shipping import Shipped
from toolkit.pipeline.sources import Source
from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Recipe
from toolkit.results import (
    Artifact,
    Parity,
    Point,
    PrecisionOverride,
    Run,
    RunResult,
    Stage,
    Validity,
    Warn,
)

NNAPI_NOTE = (
    "NNAPI is deprecated since Android 15: it still runs, but new work belongs on the GPU delegate or XNNPACK "
    "(shown beside it)."
)
_STAGE_OF_FOLDER = {
    "onnx": "onnx",
    "float32": "tflite float32",
    "bundle": "bundle",
    "keras": "trainable keras",
    "audio": "audio",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything `assemble` needs."""

    source: Source
    recipe: Recipe
    parity: tuple[Parity, ...]
    shipped: tuple[Shipped, ...]
    judged: Judged
    stages: tuple[StageRecord, ...]
    command: str
    started: float
    directory: Path
    notes: tuple[Warn, ...] = ()


def assemble(found: Findings) -> RunResult:
    """The results object of a run."""
    judged = found.judged
    recipe = found.recipe
    level = level_title(parse_level(recipe.delegate.android)) if recipe.delegate.name == "nnapi" else ""
    head, dirty = commit()
    invalid = [f"{e.part} {e.variant} ×{e.threads}: {r}" for e in judged.measured.latency for r in e.reasons]
    return RunResult(
        run=Run(
            id=f"{found.source.name}-{recipes.sha256(recipe)[:8]}",
            model=_title(found.source),
            started=datetime.datetime.fromtimestamp(found.started, datetime.UTC).isoformat(timespec="seconds"),
            command=found.command,
            recipe_sha256=recipes.sha256(recipe),
            recipe_path=RECIPE_FILE,
            commit=head,
            dirty=dirty,
            seeds={"recipe": recipe.seed, "speech": recipe.quality.seed},
            input_sha256=found.source.inputs,
            wall_seconds=time.time() - found.started,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        ),
        origin=found.source.origin,
        environment=environment(recipe.delegate.name).model_copy(
            update={"delegate_version": level or None, "lock_sha256": lock_sha256()}
        ),
        artifacts=artefacts(found.directory),
        stages=tuple(
            Stage(name=s.name, seconds=s.seconds, facts={"fact": s.fact} if s.fact else {}) for s in found.stages
        ),
        parity=found.parity,
        tensor_errors=tuple(row for part in found.shipped for row in part.compared.rows),
        precision=tuple(row for part in found.shipped for row in part.audit),
        overrides=overrides(recipe, found.shipped),
        delegation=judged.placements,
        runtimes=runtime_needs(found.directory / "bundle"),
        sentence=judged.sentence,
        gpu_executions=judged.gpu_executions,
        npu_compilations=judged.npu_compilations,
        latency=judged.measured.latency,
        comparisons=judged.measured.comparisons,
        estimates=judged.estimates,
        memory=judged.measured.memory,
        op_times=judged.measured.op_times,
        op_runs=judged.measured.op_runs,
        points=_points(found),
        size=judged.size,
        sparsity=tuple(row for part in found.shipped for row in part.sparsity),
        quality=judged.quality,
        whole_voice=judged.whole_voice,
        clips=judged.clips,
        tried=tuple(row for part in found.shipped for row in part.tried),
        gates=judged.gates,
        validity=Validity(valid=not invalid, reasons=tuple(invalid)),
        warnings=_warnings(found),
        recommendations=recommendations(
            judged.gates, judged.placements, judged.measured.comparisons, DELEGATES[recipe.delegate.name]
        ),
        not_measured={**judged.missing, **not_compared([part.compared for part in found.shipped])},
    )


def _title(source: Source) -> str:
    return source.name if source.label == source.name else f"{source.name} ({source.label})"


def artefacts(directory: Path) -> tuple[Artifact, ...]:
    """Every file so far with its digest; scratch files are hidden and left out."""
    files = sorted(
        p
        for p in directory.rglob("*")
        if p.is_file() and not any(s.startswith(".") for s in p.relative_to(directory).parts)
    )
    return tuple(
        Artifact(
            stage=_STAGE_OF_FOLDER.get(p.relative_to(directory).parts[0], "run"),
            path=str(p.relative_to(directory)),
            sha256=file_sha256(p),
            size_bytes=p.stat().st_size,
        )
        for p in files
    )


def overrides(recipe: Recipe, shipped: Sequence[Shipped]) -> tuple[PrecisionOverride, ...]:
    """Every precision rule with the torch names it matched."""
    rows = []
    for part in shipped:
        for rule in recipe.part(part.name).precision.rules:
            rows.append(
                PrecisionOverride(
                    pattern=rule.match,
                    precision=rule.use,
                    because=rule.because,
                    matched=part.matched.get(rule.match, ()),
                )
            )
    return tuple(rows)


def _points(found: Findings) -> tuple[Point, ...]:
    """Float32 and the result of the part that costs most, for the trade-off plot."""
    quality = found.judged.quality
    mos = next((m for m in quality.metrics if m.metric == "distillmos"), None) if quality else None
    if mos is None:
        return ()
    threads = max(found.recipe.bench.threads)
    latency = {
        e.variant: e.stats.p50_ms for e in found.judged.measured.latency if _is_main(e.part) and e.threads == threads
    }
    size = {p.variant: p.total_bytes for p in found.judged.size.parts if _is_main(p.part)}
    return tuple(
        Point(
            label=variant,
            latency_ms=latency[variant],
            quality=0.0 if variant == "float32" else mos.mean,
            quality_unit="DistillMOS against float",
            size_bytes=size[variant],
            current=variant == "result",
        )
        for variant in ("float32", "result")
        if variant in latency
    )


def _is_main(part: str) -> bool:
    return part.partition("@")[0] in ("decoder", "model")


def _warnings(found: Findings) -> tuple[Warn, ...]:
    rows = []
    if found.recipe.delegate.name == "nnapi":
        rows.append(Warn(code="delegate/nnapi-deprecated", message=NNAPI_NOTE, section="delegation"))
    if "random weights" in found.source.label:
        rows.append(
            Warn(
                code="model/random-weights",
                message="Random weights: the audio is noise, quality means nothing.",
                section="run",
            )
        )
    if found.judged.whole_voice is not None:
        facts = summary(found.judged.whole_voice)
        message = f"The whole shipped voice, encoder and flow included, against the float voice: {facts}."
        rows.append(Warn(code="quality/whole-voice", message=message, section="fidelity"))
    if found.judged.own_timing is not None:
        message = (
            "The whole shipped voice, its sentences timed by its own deterministic durations, against the float voice: "
            f"{found.judged.own_timing.text}."
        )
        rows.append(Warn(code="quality/own-timing", message=message, section="fidelity"))
    known_wrong = Counter(
        (p.part, p.delegate, wrong.op, wrong.reason) for p in found.judged.placements for wrong in p.wrong_results
    )
    for (part, delegate, op, reason), count in sorted(known_wrong.items()):
        message = f"{part} on {delegate}: {op} ×{count}: {reason}"
        rows.append(Warn(code="delegate/known-wrong-result", section="delegation", message=message))
    for part in found.shipped:
        if part.slow_on_cpu:
            message = f"{part.key} has 16-bit activations, for NPUs; a CPU has no fast kernels for them."
            rows.append(Warn(code="latency/reference-kernels", message=message, section="latency"))
    return (*rows, *found.notes)
