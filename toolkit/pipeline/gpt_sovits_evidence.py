"""What is measured of a converted GPT-SoVITS model: placement, latency, memory, size, gates."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from converters.spec import Arrays
from toolkit.delegates.levels import parse_level
from toolkit.delegates.place import place_all
from toolkit.pipeline.benchmark import BenchPart, bench_parts
from toolkit.pipeline.bundle import compressed_bytes, part_size, total_size
from toolkit.pipeline.device_latency import estimate_run
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.evidence import DELEGATES, SCRATCH, Judged, float_macs, op_counts
from toolkit.pipeline.gates import Evidence, judge_gates
from toolkit.pipeline.gpt_sovits_precision import Fidelity
from toolkit.pipeline.gpt_sovits_sentence import MeasuredSentence
from toolkit.pipeline.gpu_execution import execute_parts
from toolkit.pipeline.hearing import Heard
from toolkit.pipeline.npu_compilation import compile_parts
from toolkit.pipeline.run_directory import RunDirectory
from toolkit.pipeline.shipping import Shipped
from toolkit.recipe.schema import Recipe
from toolkit.results import Parity, PartSize, Warn
from toolkit.results.estimate import whole_of

MAIN_PART = "vocoder_stream"
LIGHT_PART = "vocoder_light_stream"
_CODES_PER_SECOND = 25
_FRAMES_PER_SECOND = 50
_MOVED_PARTS = ("flow", MAIN_PART)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedGraph:
    """One graph with what was found while it was converted.

    Attributes:
        shipped: the graph as it ships.
        parity: agreement with torch at every float hop.
        lost: the graph as it ships against torch.
        probe: inputs to time it with, in torch's layout.
    """

    shipped: Shipped
    parity: tuple[Parity, ...]
    lost: Fidelity
    probe: Arrays

    @property
    def name(self) -> str:
        """Name in the bundle, e.g. ``flow_100``."""
        return f"{self.shipped.name}_{self.shipped.bucket}"

    def rows(self) -> tuple[Parity, ...]:
        """All hops, the shipped file last; that one has no limit, its precision was chosen."""
        last = [
            Parity.model_validate(
                {
                    "part": self.shipped.key,
                    "from": "tflite float32",
                    "to": "shipped",
                    "tensor": name,
                    "max_abs": tensor.max_abs,
                    "snr_db": tensor.snr_db,
                    "cosine": tensor.cosine,
                    "inputs": self.lost.inputs,
                    "limit_snr_db": None,
                }
            )
            for name, tensor in self.lost.report.tensors.items()
        ]
        return (*self.parity, *last)


def choice_notes(graphs: Sequence[ConvertedGraph]) -> tuple[Warn, ...]:
    """How often the shipped transformer would choose torch's likeliest code."""
    rows = []
    for graph in graphs:
        if graph.lost.same_choice is not None:
            same, of = graph.lost.same_choice
            message = (
                f"{graph.shipped.key}: the likeliest code is torch's in {same} of {of} cases ({graph.lost.inputs})."
            )
            rows.append(Warn(code="quality/same-code", message=message, section="fidelity"))
    return tuple(rows)


def judge_pair(
    graphs: Sequence[ConvertedGraph],
    recipe: Recipe,
    run: RunDirectory,
    clock: StageClock,
    heard: Heard,
    said: MeasuredSentence,
) -> Judged:
    """Measures what the report shows and holds it against the recipe's gates.

    Args:
        graphs: all of them.
        recipe: benchmark and gates.
        run: holds the float files.
        clock: told about every stage.
        heard: held-out sentences.
        said: the whole sentence, which leads what was measured.
    """
    with clock.stage("delegate placement") as stage:
        level, wanted = parse_level(recipe.delegate.android), DELEGATES[recipe.delegate.name]
        placements = tuple(
            row
            for graph in graphs
            for row in place_all(graph.shipped.tflite, graph.shipped.key, level=level, asked=wanted)
        )
        asked = [row for row in placements if row.delegate == wanted]
        stage.fact = ", ".join(f"{p.part} {p.delegated_ops}/{p.total_ops} in {p.partitions}" for p in asked)
    name = "benchmark on the host CPU"
    with clock.stage(name) as stage:
        parts = [_bench_part(graph, run) for graph in graphs]
        measured = bench_parts(
            parts, recipe.bench, lambda done, total, note: clock.listener.progress(name, done, total, note)
        )
        threads = max(recipe.bench.threads)
        stage.fact = ", ".join(f"{c.part} ×{c.ratio:.2f}" for c in measured.comparisons if c.threads == threads)
    measured = replace(
        measured,
        latency=(*said.latency, *measured.latency),
        comparisons=(*said.comparisons, *measured.comparisons),
        memory=(*said.memory, *measured.memory),
    )
    with clock.stage("size") as stage:
        sizes = _sizes(parts)
        stage.fact = f"{sum(size.total_bytes for size in sizes if size.variant == 'result'):,} bytes before sharing"
    # Graphs of a kind share their weights in the bundle and would in float32, where nothing lighter stands beside them.
    largest: dict[str, int] = {}
    for size in sizes:
        if size.variant == "float32" and not size.part.startswith(LIGHT_PART):
            kind = "t2s" if size.part.startswith("t2s_") else size.part.partition("@")[0]
            largest[kind] = max(largest.get(kind, 0), size.total_bytes)
    delegated = [part for part in parts if not part.key.startswith(LIGHT_PART)]  # that rung is the CPU's
    on_gpu = execute_parts(delegated, recipe, clock)
    on_npu = compile_parts(parts, asked, MAIN_PART, recipe, clock)
    estimates = estimate_run(run, recipe, clock)
    size = total_size(run, sizes, sum(largest.values()), recipe.gates.total_bytes_max)
    shipped = [graph.shipped for graph in graphs]
    speaking = [graph for graph in graphs if graph.shipped.name != LIGHT_PART]  # what is meant to be heard
    worst = min((graph.lost.report.worst_snr_db for graph in speaking), default=None)
    evidence = Evidence(
        quality=heard.quality,
        missing_quality=heard.missing.get("quality", ""),
        comparisons=measured.comparisons,
        placements=tuple(asked),
        size=size,
        float_macs_ratio=float_macs(shipped, MAIN_PART),
        op_counts=op_counts(shipped, _MOVED_PARTS),
        output_snr_db=worst,
        main_part=MAIN_PART,
        threads=threads,
        compressed_bytes=compressed_bytes(run) if recipe.gates.compressed_bytes_max is not None else None,
        estimate=whole_of(estimates),
    )
    rows = [row for graph in graphs for row in graph.rows()]
    return Judged(
        placements=placements,
        measured=measured,
        size=size,
        quality=heard.quality,
        whole_voice=None,
        missing={
            **heard.missing,
            **({"sentence": said.missing} if said.missing else {}),
            **(on_gpu.missing or {}),
            **on_npu.missing,
        },
        sentence=said.sentence,
        clips=heard.clips,
        gates=(*judge_gates(recipe.gates, rows, evidence), *on_gpu.gates, *on_npu.gates),
        gpu_executions=on_gpu.executions,
        npu_compilations=on_npu.compilations,
        output_snr_db=worst,
        estimates=estimates,
    )


def _sizes(parts: Sequence[BenchPart]) -> list[PartSize]:
    """Of every file, as it is and, where it ships, compressed; zlib works beside Python's lock."""
    wanted = [(path, part.key, variant) for part in parts for variant, path in part.files.items()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda one: part_size(*one, compressed=one[2] != "float32"), wanted))


def _bench_part(graph: ConvertedGraph, run: RunDirectory) -> BenchPart:
    return BenchPart(
        key=graph.shipped.key,
        files={
            "float32": run.path / f"float32/{graph.name}.tflite",
            "result": run.write_bytes(f"{SCRATCH}/{graph.name}.tflite", graph.shipped.tflite),
        },
        inputs=graph.probe,
        interface=graph.shipped.interface,
        audio_seconds=_audio_seconds(graph.shipped),
        timed_by_operator=graph.shipped.name == MAIN_PART,
    )


def _audio_seconds(part: Shipped) -> float | None:
    """Sound one run stands for; a prefill stands for none."""
    per_run = {
        "t2s_step": 1 / _CODES_PER_SECOND,
        "nar_frames": part.bucket / _CODES_PER_SECOND,
        "text_encoder": part.bucket / _CODES_PER_SECOND,
        "flow": part.bucket / _CODES_PER_SECOND,
        MAIN_PART: part.bucket / _FRAMES_PER_SECOND,
        LIGHT_PART: part.bucket / _FRAMES_PER_SECOND,
    }
    return per_run.get(part.name)
