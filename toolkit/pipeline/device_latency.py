"""Latency of what a conversion made, estimated for a device: a file, a voice bundle, or a GPT-SoVITS bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from converters.tflite_graph.metadata import read_metadata
from toolkit.delegates.levels import parse_level
from toolkit.engine.bundle import Bundle, GraphFact, bundle_folder, is_bundle, read_bundle
from toolkit.engine.chunks import plan_chunks
from toolkit.engine.parallel_codes import FRAMES, PHONES, is_parallel_bundle
from toolkit.estimate.devices import EstimatedDevice, find_device
from toolkit.estimate.estimator import Target, estimate_file, total
from toolkit.models.vits.bundle import VOICE_FILE, VoiceFile
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.run_directory import RunDirectory
from toolkit.recipe.schema import Recipe
from toolkit.results.estimate import LatencyEstimate

SENTENCE_SECONDS = 3.0
_CODES_PER_SECOND = 25
_FRAMES_PER_CODE = 2
_REFERENCE_CODES, _PHONES = 125, 100  # five seconds of reference, its phones and a short sentence's


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLatency:
    """Estimates of the parts, and of what a user waits for.

    Attributes:
        parts: one estimate a graph.
        runs: how often each graph runs for one sentence.
        total: all of them together.
    """

    parts: tuple[LatencyEstimate, ...]
    runs: tuple[int, ...]
    total: LatencyEstimate


def estimate_run(run: RunDirectory, recipe: Recipe, clock: StageClock) -> tuple[LatencyEstimate, ...]:
    """Estimates of a run's bundle for the recipe's device, the total last; none where it names no device.

    Raises:
        DeviceError: the device is unknown.
    """
    if not recipe.delegate.device:
        return ()
    device = find_device(recipe.delegate.device)
    with clock.stage(f"latency estimated for {device.id}") as stage:
        found = estimate_path(run.path, device, recipe.delegate.name, parse_level(recipe.delegate.android))
        stage.fact = found.total.sentence
    return (*found.parts, found.total)


def estimate_path(
    path: Path, device: EstimatedDevice, target: Target, level: int, *, seconds: float = SENTENCE_SECONDS
) -> DeviceLatency:
    """Estimates a .tflite file (one run), or a bundle or run directory (one sentence).

    A voice runs each part once, in its longest bucket: that is the longest sentence it says in one go. A GPT-SoVITS
    bundle says ``seconds`` of speech at 25 codes a second, or as much as its longest bucket holds.

    Raises:
        InputError: the file or bundle is missing or damaged.
    """
    folder = bundle_folder(path)
    if not folder.is_dir():
        return _voice_or_model([(path.stem, path, None)], device, target, level, None)
    if is_bundle(folder):
        return _engine(read_bundle(folder), device, target, level, seconds)
    if (folder / VOICE_FILE).is_file():
        return _voice(folder, device, target, level)
    files = sorted(folder.glob("*.tflite"))
    return _voice_or_model(
        [(file.stem, file, None) for file in files or [folder / "model.tflite"]], device, target, level, None
    )


def _voice(folder: Path, device: EstimatedDevice, target: Target, level: int) -> DeviceLatency:
    described = VoiceFile.model_validate_json((folder / VOICE_FILE).read_bytes())
    seconds = max(described.buckets["decoder"]) * described.hop / described.sample_rate_hz
    chosen = []
    for name in described.buckets:
        path = folder / f"{name}.tflite"
        signatures = read_metadata(path.read_bytes()).get("signatures", {})
        longest = max(signatures, key=lambda key: int(key.rpartition("_")[2]), default=None)
        chosen.append((name, path, longest))
    return _voice_or_model(chosen, device, target, level, seconds)


def _voice_or_model(
    chosen: list[tuple[str, Path, str | None]],
    device: EstimatedDevice,
    target: Target,
    level: int,
    seconds: float | None,
) -> DeviceLatency:
    parts = tuple(
        estimate_file(path, name, device, target, level=level, signature=signature, audio_seconds=seconds)
        for name, path, signature in chosen
    )
    return DeviceLatency(parts=parts, runs=(1,) * len(parts), total=total(parts, audio_seconds=seconds))


def _engine(bundle: Bundle, device: EstimatedDevice, target: Target, level: int, seconds: float) -> DeviceLatency:
    longest = [graphs[-1].length for kind in ("text_encoder", "flow") if (graphs := bundle.of_kind(kind))]
    codes = max(1, min([round(seconds * _CODES_PER_SECOND), *longest]))
    frames = codes * _FRAMES_PER_CODE
    rows = _REFERENCE_CODES + _PHONES + codes
    wanted = [(_holding(bundle, "t2s_prefill", 0), 1), (_holding(bundle, "t2s_step", rows), codes - 1)]
    if is_parallel_bundle(bundle):
        wanted = [(_holding(bundle, PHONES, _PHONES), 1), (_holding(bundle, FRAMES, codes), 1)]
    if bundle.contents == "speech":
        wanted += [(_holding(bundle, "text_encoder", codes), 1), (_holding(bundle, "flow", codes), 1)]
        stream = _holding(bundle, "vocoder_stream", 0)
        if stream is not None:
            wanted.append((stream, len(plan_chunks(frames, stream.length, bundle.overlap_frames))))
        else:
            wanted.append((_holding(bundle, "vocoder", frames), 1))
    found = [(graph, count) for graph, count in wanted if graph is not None]
    parts = tuple(
        estimate_file(bundle.folder / graph.file, graph.name, device, target, level=level, signature=graph.signature)
        for graph, _ in found
    )
    runs = tuple(count for _, count in found)
    spoken = codes / _CODES_PER_SECOND
    whole = total(parts, audio_seconds=spoken, runs=runs)
    cache = wanted[1][0]
    if cache is not None and cache.kind == "t2s_step" and cache.length < rows:
        note = f"{cache.name}: its cache of {cache.length} rows is the longest; a usual reference would need {rows}"
        whole = whole.model_copy(update={"notes": (*whole.notes, note)})
    return DeviceLatency(parts=parts, runs=runs, total=whole)


def _holding(bundle: Bundle, kind: str, length: int) -> GraphFact | None:
    """The shortest graph of a kind with room for ``length``, else the longest."""
    graphs = bundle.of_kind(kind)
    return next((graph for graph in graphs if graph.length >= length), graphs[-1] if graphs else None)
