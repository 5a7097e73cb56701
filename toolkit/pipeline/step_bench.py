"""``toolkit bench BUNDLE`` of bundles that make codes and no sound: their token step, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolkit.bench.guard import Parent, guarded, seconds_for
from toolkit.bench.host import measure_timed, race_timed
from toolkit.bench.plan import Plan
from toolkit.bench.tokens import TokenLoop
from toolkit.engine.bundle import Bundle, read_bundle
from toolkit.engine.cache import cache_rows
from toolkit.errors import BenchError
from toolkit.pipeline.benchmark import FileBench
from toolkit.pipeline.sentence_bench import named_folders
from toolkit.results import Latency, LatencyComparison


def bench_steps(folders: Sequence[Path], plan: Plan, *, patience_seconds: float | None = None) -> FileBench:
    """Measures the token step of bundles that take turns, with the shortest cache all of them have.

    A step is what the engine does for a code: cache, position and mask written, graph run, logits read.

    Args:
        folders: bundles; the first is what the others are compared with.
        plan: how often, and with how many threads.
        patience_seconds: of loading and of the first tokens of all bundles together; by size when left out.

    Raises:
        EngineError: a bundle is damaged.
        BenchError: a bundle has no token step, they have no cache length in common, or one crashes LiteRT or is not
            done with it in time.
    """
    named = named_folders(folders)
    bundles = [read_bundle(folder) for folder in folders]
    rows = _common_rows(bundles)

    def loops(threads: int) -> dict[str, TokenLoop]:
        return {name: TokenLoop(folder, threads=threads, rows=rows) for name, folder in named.items()}

    def measured(ready: Parent) -> tuple[list[Latency], list[LatencyComparison]]:
        latency: list[Latency] = []
        comparisons: list[LatencyComparison] = []
        part = f"t2s_step@{rows}"
        for number, threads in enumerate(plan.threads):
            open_loops = loops(threads)
            if not number:
                ready()
            if len(open_loops) == 1:
                ((name, loop),) = open_loops.items()
                latency.append(measure_timed(loop, part, name, plan, threads=threads))
                continue
            found = race_timed(open_loops, part, plan, baseline=next(iter(named)), threads=threads)
            latency += found.latencies
            comparisons += found.comparisons
        return latency, comparisons

    limit = patience_seconds or sum(
        seconds_for(file.size_bytes) for bundle in bundles for file in bundle.files.values()
    )
    latency, comparisons = guarded(measured, seconds=limit, where=", ".join(named))
    return FileBench(
        latency=tuple(latency), comparisons=tuple(comparisons), memory=(), measured=f"token step, {rows} rows"
    )


def _common_rows(bundles: Sequence[Bundle]) -> int:
    """The shortest cache that every bundle has.

    Raises:
        BenchError: there is none.
    """
    lengths = [{cache_rows(fact) for fact in bundle.of_kind("t2s_step")} for bundle in bundles]
    for bundle, found in zip(bundles, lengths, strict=True):
        if not found:
            raise BenchError(
                "this bundle has no token step: it says all codes at once", code="bench/sentence",
                where=str(bundle.folder), hint="measure its .tflite files",
            )  # fmt: skip
    common = set.intersection(*lengths)
    if not common:
        raise BenchError(
            "no cache length is in every bundle: "
            + "; ".join(", ".join(map(str, sorted(found))) + " rows" for found in lengths),
            code="bench/mixed",
            where=", ".join(str(bundle.folder) for bundle in bundles),
            hint="convert them with the same gpt_sovits.cache_rows",
        )
    return min(common)
