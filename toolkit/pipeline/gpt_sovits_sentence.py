"""A whole sentence with a run's bundle and with the same graphs in float32, in turns: what a user waits for."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.bench.host import compare_paired
from toolkit.bench.machine import where
from toolkit.bench.memory import in_child
from toolkit.bench.sentence import CODES_PER_SECOND, SentenceTimes, engine_speaker, made_voice, race_sentences
from toolkit.bench.stats import summarise
from toolkit.engine.acoustics import longest_codes
from toolkit.engine.buckets import smallest
from toolkit.engine.bundle import Bundle, read_bundle
from toolkit.engine.cache import cache_rows
from toolkit.engine.residency import UNBOUNDED_BYTES
from toolkit.pipeline.benchmark import plan_of
from toolkit.pipeline.engine_bundle import BundleGraph, write_engine_bundle
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.evidence import SCRATCH
from toolkit.pipeline.run_directory import RunDirectory
from toolkit.pipeline.sentence_bench import PHASES
from toolkit.recipe.schema import Recipe
from toolkit.results import Latency, LatencyComparison, Memory, Sentence, SentencePhases

WHOLE = "total"
FOR_AN_NPU = "the vocoder has 16-bit activations, for an NPU: a CPU has no fast kernels for them"
_BASELINE, _RESULT = "float32", "result"
_CODES, _PHONES = 75, 40  # three seconds
_HOW = (
    "made-up voice and phones, the stop token held back; each variant says it once to load, then both take turns; "
    "first audio is the first chunk's last sample"
)
_MEMORY = (
    "peak resident memory (VmHWM) of a fresh process that says the sentence and keeps every graph it needs; the "
    "runtime's own share is measured before the bundle is read"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSentence:
    """What was found; all empty, and ``missing`` says why, where no sentence could be said.

    Attributes:
        sentence: its phases.
        latency: the whole of it, by variant, as part ``total``.
        comparisons: shipped over float32.
        memory: of a process that says it.
        missing: why there is nothing.
    """

    sentence: Sentence | None = None
    latency: tuple[Latency, ...] = ()
    comparisons: tuple[LatencyComparison, ...] = ()
    memory: tuple[Memory, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """What comes before the rounds: reading ``engine.json``; the sentence that loads every graph it needs."""

    init_ms: float
    first_ms: float


def measure_sentence(
    graphs: Sequence[BundleGraph], facts: Mapping[str, Any], recipe: Recipe, run: RunDirectory, clock: StageClock
) -> MeasuredSentence:
    """Times three seconds of speech, or what the bundle's lengths hold of it.

    Args:
        graphs: as they ship; their float files are in the run.
        facts: of ``engine.json``.
        recipe: threads and rounds (``bench``).
        run: holds the bundle; gets a float bundle among its scratch files.
        clock: told about the stage.
    """
    bundle = read_bundle(run.path / "bundle")
    if bundle.contents != "speech":
        return MeasuredSentence(missing="the bundle makes codes, and no sound")
    if not bundle.of_kind("t2s_step"):
        return MeasuredSentence(missing="no token loop is in the bundle: whole sentences are timed by `toolkit speak`")
    if any(graph.slow_on_cpu for graph in bundle.of_kind("vocoder_stream")):
        return MeasuredSentence(missing=FOR_AN_NPU)
    codes, phones = sentence_size(bundle)
    if codes < 1 or phones < 1:
        return MeasuredSentence(missing="the recipe's lengths leave no room for a sentence behind a prompt")
    threads, rounds = max(recipe.bench.threads), recipe.bench.runs
    name = "a whole sentence on the host CPU"
    with clock.stage(name) as stage:
        needed = sentence_graphs(bundle, codes, phones)
        floats = [_in_float(graph, run) for graph in graphs if graph.name in needed]
        write_engine_bundle(run, floats, facts, recipe, folder=f"{SCRATCH}/float-bundle")
        folders = {_BASELINE: run.path / SCRATCH / "float-bundle", _RESULT: bundle.folder}
        speakers, loaded = {}, {}
        for variant, folder in folders.items():
            began = time.perf_counter()
            speakers[variant] = engine_speaker(read_bundle(folder), codes=codes, phones=phones, threads=threads)
            ready = time.perf_counter()
            loaded[variant] = _Loaded(init_ms=1000 * (ready - began), first_ms=1000 * speakers[variant](0).whole)
        times = race_sentences(
            speakers, rounds, lambda done, of: clock.listener.progress(name, done, of, f"{threads} thread(s)")
        )
        speakers.clear()
        memory = tuple(_memory(folder, variant, codes, phones, threads) for variant, folder in folders.items())
        sentence = Sentence(
            codes=codes,
            phones=phones,
            audio_seconds=codes / CODES_PER_SECOND,
            threads=threads,
            rounds=rounds,
            phases=tuple(_phases(variant, taken) for variant, taken in times.items()),
            how=_HOW,
        )
        race = uuid.uuid4().hex
        latency = tuple(
            _latency(variant, taken, loaded[variant], sentence, recipe, race) for variant, taken in times.items()
        )
        seconds = {variant: [one.whole for one in taken] for variant, taken in times.items()}
        comparison = compare_paired(seconds, WHOLE, _BASELINE, _RESULT, threads)
        stage.fact = (
            f"{latency[-1].stats.p50_ms / 1000:.2f} s for {sentence.audio_seconds:g} s, ×{comparison.ratio:.2f}"
        )
    return MeasuredSentence(sentence=sentence, latency=latency, comparisons=(comparison,), memory=memory)


def sentence_size(bundle: Bundle) -> tuple[int, int]:
    """Codes and phones of a sentence the bundle has room for, behind the prompt of a made-up voice; 0 is none."""
    arrays = made_voice(bundle).arrays
    prompt_codes, prompt_phones = len(arrays["prompt_codes"]), len(arrays["prompt_phones"])
    prefill = bundle.of_kind("t2s_prefill")[-1].tensors["phones"].shape[1]
    spoken = max((graph.tensors["phones"].shape[1] for graph in bundle.of_kind("text_encoder")), default=0)
    phones = min(_PHONES, prefill - prompt_phones, spoken)
    rows = cache_rows(bundle.of_kind("t2s_step")[-1]) - prompt_codes - prompt_phones - phones
    return min(_CODES, longest_codes(bundle, phones), rows), phones


def sentence_graphs(bundle: Bundle, codes: int, phones: int) -> frozenset[str]:
    """Names of the graphs such a sentence runs through; a float bundle of more would only take time to write."""
    arrays = made_voice(bundle).arrays
    prompt_codes, text = len(arrays["prompt_codes"]), len(arrays["prompt_phones"]) + phones
    rows = text + prompt_codes + codes
    steps = bundle.of_kind("t2s_step")
    last = next((graph for graph in steps if cache_rows(graph) >= rows), steps[-1])
    found = {graph.name for graph in steps if cache_rows(graph) <= cache_rows(last)}
    prefill = {"phones": (1, text), "prompts": (1, prompt_codes)}
    found.add(smallest(bundle.of_kind("t2s_prefill"), prefill, "the sentence").name)
    encoder = {"codes": (1, codes), "phones": (1, phones)}
    found.add(smallest(bundle.of_kind("text_encoder"), encoder, "the sentence").name)
    found.add(smallest(bundle.of_kind("flow"), {"z_p": (2, 2 * codes)}, "the sentence").name)
    return frozenset(found) | {graph.name for graph in bundle.graphs.values() if graph.kind.startswith("vocoder")}


def _in_float(graph: BundleGraph, run: RunDirectory) -> BundleGraph:
    return BundleGraph(
        name=graph.name,
        kind=graph.kind,
        tflite=(run.path / f"float32/{graph.name}.tflite").read_bytes(),
        interface=graph.interface,
        torch_names={},
    )


def _phases(variant: str, taken: Sequence[SentenceTimes]) -> SentencePhases:
    def median_ms(phase: str) -> float:
        return 1000 * statistics.median(getattr(one, phase) for one in taken)

    return SentencePhases(variant=variant, **{f"{phase}_ms": median_ms(phase) for phase in PHASES})


def _latency(
    variant: str, taken: Sequence[SentenceTimes], loaded: _Loaded, sentence: Sentence, recipe: Recipe, race: str
) -> Latency:
    samples = tuple(round(1000 * one.whole, 4) for one in taken)
    stats = summarise(samples)
    reasons = plan_of(recipe.bench).objections(stats)
    return Latency(
        part=WHOLE,
        variant=variant,
        threads=sentence.threads,
        where=where(),
        init_ms=loaded.init_ms,
        first_ms=loaded.first_ms,
        samples_ms=samples,
        stats=stats,
        audio_seconds=sentence.audio_seconds,
        real_time_factor=stats.p50_ms / 1000 / sentence.audio_seconds,
        valid=not reasons,
        reasons=reasons,
        race=race,
    )


def _memory(folder: Path, variant: str, codes: int, phones: int, threads: int) -> Memory:
    found = in_child("toolkit.bench.sentence_probe", folder, codes, phones, threads, 1, UNBOUNDED_BYTES)
    return Memory(
        part=WHOLE,
        variant=variant,
        threads=threads,
        peak_rss_bytes=found["peak_bytes"],
        over_runtime_bytes=max(0, found["peak_bytes"] - found["empty_bytes"]),
        how=_MEMORY,
    )
