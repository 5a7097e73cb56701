"""Everything that is measured of a finished conversion: placement, latency, memory, size, listening quality, gates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from converters import parity as parity_of
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from toolkit.compress.audit import float_share
from toolkit.data import Manifest
from toolkit.delegates.levels import parse_level
from toolkit.delegates.place import place_all
from toolkit.models.vits.bundle import DURATION_FILE
from toolkit.pipeline import bundle
from toolkit.pipeline.benchmark import BenchPart, Measured, bench_parts
from toolkit.pipeline.device_latency import estimate_run
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.float_chain import FloatPart
from toolkit.pipeline.gates import Evidence, judge_gates
from toolkit.pipeline.gpu_execution import GpuFindings, execute_parts
from toolkit.pipeline.hearing import listen
from toolkit.pipeline.listening import OwnTiming
from toolkit.pipeline.npu_compilation import NpuFindings, compile_parts
from toolkit.pipeline.reuse import Reuse
from toolkit.pipeline.run_directory import RunDirectory
from toolkit.pipeline.shipping import Shipped, file_stem
from toolkit.pipeline.sources import Source
from toolkit.recipe.schema import Recipe
from toolkit.results import (
    Clip,
    DelegateName,
    Gate,
    GpuExecution,
    LatencyEstimate,
    NpuCompilation,
    PartSize,
    Placement,
    Quality,
    Sentence,
    Size,
)
from toolkit.results.estimate import whole_of

_SHUFFLED_PARTS = ("flow", "decoder", "model")
_UNTIMED = {"latency": "it was not timed here: a search times its best version, a stack all its stages in turns"}
SCRATCH = ".bench"
"""Folder of single-signature copies that are measured and then removed."""
_MAIN_PARTS = ("decoder", "model")
DELEGATES: dict[str, DelegateName] = {"nnapi": "nnapi", "gpu": "gpu_litert", "xnnpack": "xnnpack", "qnn": "qnn"}
"""Delegate of the recipe to the placement its gates are judged on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was found out about a run."""

    placements: tuple[Placement, ...]
    measured: Measured
    size: Size
    quality: Quality | None
    whole_voice: Quality | None
    missing: dict[str, str]
    clips: tuple[Clip, ...]
    gates: tuple[Gate, ...]
    output_snr_db: float | None
    estimates: tuple[LatencyEstimate, ...] = ()
    own_timing: OwnTiming | None = None
    sentence: Sentence | None = None
    gpu_executions: tuple[GpuExecution, ...] = ()
    npu_compilations: tuple[NpuCompilation, ...] = ()


def judge_run(
    source: Source,
    floats: Sequence[FloatPart],
    shipped: Sequence[Shipped],
    recipe: Recipe,
    manifest: Manifest | None,
    run: RunDirectory,
    clock: StageClock,
    *,
    benchmark: bool = True,
    reuse: Reuse | None = None,
) -> Judged:
    """Measures everything the report shows and holds it against the recipe's gates.

    Without ``benchmark`` nothing is timed on the host, and the report says so.
    """
    with clock.stage("delegate placement") as stage:
        level, wanted = parse_level(recipe.delegate.android), DELEGATES[recipe.delegate.name]
        placements = tuple(p for part in shipped for p in place_all(part.tflite, part.key, level=level, asked=wanted))
        asked = [p for p in placements if p.delegate == wanted]
        stage.fact = ", ".join(f"{p.part} {p.delegated_ops}/{p.total_ops} in {p.partitions}" for p in asked)
    parts = _bench_parts(source, floats, shipped, run)
    best = max(recipe.bench.threads)
    measured, untimed = Measured(latency=(), comparisons=(), memory=(), op_times=()), _UNTIMED
    if benchmark:
        untimed = {}
        with clock.stage("benchmark on the host CPU") as stage:
            measured = bench_parts(
                parts,
                recipe.bench,
                lambda done, total, note: clock.listener.progress("benchmark on the host CPU", done, total, note),
            )
            stage.fact = ", ".join(f"{c.part} ×{c.ratio:.2f}" for c in measured.comparisons if c.threads == best)
    main = "decoder" if source.voice is not None else "model"
    on_gpu = execute_parts(parts, recipe, clock) if benchmark else GpuFindings()
    on_npu = compile_parts(parts, asked, main, recipe, clock) if benchmark else NpuFindings()
    estimates = estimate_run(run, recipe, clock)
    size = _size(source, floats, shipped, run, recipe)
    heard = listen(source, shipped, recipe, manifest, run, clock, reuse or Reuse())
    # Where nobody judged the sound, the parts' own outputs are what is known of the result.
    output_snr_db = _output_snr(floats, shipped) if heard.quality is None else None
    evidence = Evidence(
        quality=heard.quality,
        missing_quality=heard.missing.get("quality", ""),
        comparisons=measured.comparisons,
        placements=tuple(asked),
        size=size,
        float_macs_ratio=float_macs(shipped, main),
        op_counts=op_counts(shipped),
        output_snr_db=output_snr_db,
        main_part=main,
        threads=best,
        compressed_bytes=bundle.compressed_bytes(run) if recipe.gates.compressed_bytes_max is not None else None,
        estimate=whole_of(estimates),
        whole=heard.whole,
    )
    rows = [row for part in floats for row in part.parity]
    return Judged(
        placements=placements,
        measured=measured,
        size=size,
        quality=heard.quality,
        whole_voice=heard.whole,
        own_timing=heard.own_timing,
        missing={**heard.missing, **untimed, **(on_gpu.missing or {}), **on_npu.missing},
        clips=heard.clips,
        gates=(*judge_gates(recipe.gates, rows, evidence), *on_gpu.gates, *on_npu.gates),
        gpu_executions=on_gpu.executions,
        npu_compilations=on_npu.compilations,
        output_snr_db=output_snr_db,
        estimates=estimates,
    )


def _bench_parts(
    source: Source, floats: Sequence[FloatPart], shipped: Sequence[Shipped], run: RunDirectory
) -> list[BenchPart]:
    parts = []
    for part, result in zip(floats, shipped, strict=True):
        stem = file_stem(part.source.key)
        single = run.write_bytes(f"{SCRATCH}/{stem}.tflite", result.tflite)
        seconds = None
        if source.voice is not None and part.source.name not in ("encoder", "durations"):
            seconds = part.source.bucket * source.voice.hop / source.voice.sample_rate_hz
        parts.append(
            BenchPart(
                key=part.source.key,
                files={"float32": run.path / f"float32/{stem}.tflite", "result": single},
                inputs=part.source.probes[0],
                interface=result.interface,
                audio_seconds=seconds,
                timed_by_operator=part.source.name in _MAIN_PARTS,
            )
        )
    return parts


def _size(
    source: Source, floats: Sequence[FloatPart], shipped: Sequence[Shipped], run: RunDirectory, recipe: Recipe
) -> Size:
    sizes: list[PartSize] = []
    for part in floats:
        sizes.append(
            bundle.part_size(run.path / f"float32/{file_stem(part.source.key)}.tflite", part.source.key, "float32")
        )
    for part in shipped:
        sizes.append(bundle.part_size(run.path / f"{SCRATCH}/{file_stem(part.key)}.tflite", part.key, "result"))
    baseline = sum(s.total_bytes for s in sizes if s.variant == "float32")
    durations = run.path / "bundle" / DURATION_FILE
    if durations.is_file():
        sizes.append(bundle.plain_size(durations, "durations", "result", "float16"))
        baseline += bundle.float32_bytes(durations)
    if source.teacher is not None:
        baseline = source.teacher.float32_bytes
    return bundle.total_size(run, sizes, baseline, recipe.gates.total_bytes_max)


def _output_snr(floats: Sequence[FloatPart], shipped: Sequence[Shipped]) -> float:
    worst = parity_of.ParityReport(tensors={})
    for part, result in zip(floats, shipped, strict=True):
        runner = tflite_runner(result.tflite, result.interface)
        for probe, expected in zip(part.source.probes, part.reference, strict=True):
            worst = worst.combined(parity_of.compare(expected, runner(probe)))
    return worst.worst_snr_db


def float_macs(shipped: Sequence[Shipped], main: str) -> float | None:
    """Share of the main part's multiply-adds that run in float, None without any (`float_share`)."""
    return float_share(row for part in shipped if part.name == main for row in part.audit)


def op_counts(shipped: Sequence[Shipped], parts: Sequence[str] = _SHUFFLED_PARTS) -> dict[str, int]:
    """How many operators of each kind the named parts have."""
    counts: Counter[str] = Counter()
    for part in shipped:
        if part.name in parts:
            counts.update(op.kind for op in read_tflite(part.tflite).ops)
    return dict(counts)
