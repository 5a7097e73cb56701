"""A GPT-SoVITS model, both its checkpoints, to a bundle the engine speaks with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.errors import InputError
from converters.memory import release_unused_memory
from toolkit.delegates.runtime import check_runtime
from toolkit.errors import CheckpointError, VoiceError
from toolkit.pipeline.chosen_voice import ChosenVoice, chosen_voice
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.float_chain import convert_float
from toolkit.pipeline.gpt_sovits_evidence import ConvertedGraph
from toolkit.pipeline.gpt_sovits_finish import Started, finish
from toolkit.pipeline.gpt_sovits_listeners import ListenerPaths, listeners_of, listening_facts, listening_graphs
from toolkit.pipeline.gpt_sovits_listening import Listening
from toolkit.pipeline.gpt_sovits_precision import GraphPrecision
from toolkit.pipeline.gpt_sovits_rules import check_recipe
from toolkit.pipeline.run import Outcome
from toolkit.pipeline.run_directory import RunDirectory, building, refuse_foreign_directory, resume_folder
from toolkit.pipeline.shipping import Shipped
from toolkit.pipeline.sources import Source, SourcePart
from toolkit.pipeline.verdict import verdict_text
from toolkit.recipe.schema import GptSovits, Recipe

if TYPE_CHECKING:
    from toolkit.models.gpt_sovits.calibration import SpokenSentences
    from toolkit.models.gpt_sovits.checkpoint import Checkpoint
    from toolkit.models.gpt_sovits.phone_graph import PhoneGraph
    from toolkit.models.gpt_sovits.semantic import SemanticModel
    from toolkit.models.gpt_sovits.sovits_config import SovitsConfig
    from toolkit.models.gpt_sovits.sovits_graphs import Style
    from toolkit.pipeline.enrolment_torch import Listeners
    from toolkit.voices.features import VoiceFeatures

SAMPLE_RATE_HZ = 32000
NO_LISTENERS = ListenerPaths()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The two halves of one model.

    Attributes:
        gpt: text to semantic codes.
        sovits: codes to sound.
    """

    gpt: Checkpoint
    sovits: Checkpoint


def convert_pair(
    paths: Sequence[Path],
    recipe: Recipe,
    out: Path,
    listener: Listener,
    *,
    voice: str = "",
    listeners: ListenerPaths = NO_LISTENERS,
    command: str = "toolkit convert",
) -> Outcome:
    """Converts a model, measures it and reports.

    Args:
        paths: the GPT ``.ckpt`` and the SoVITS ``.pth``, in either order.
        recipe: lengths and precisions.
        out: run directory; it appears whole or not at all.
        listener: told about every stage.
        voice: features of one voice (see ``toolkit voices export``), or ``DATABASE:ID``: its style is folded into the
            graphs, which are smaller and speak as nobody else then. Without it the graphs take a style as an input.
        listeners: pretrained models whose graphs the bundle gets too: to enrol recordings, to read Chinese.
        command: the command line, for the report.

    Raises:
        CheckpointError: a file is damaged, foreign, of a version that does not convert, or the two do not belong
            together.
        ParityError: a hop diverges from torch.
        RecipeError: a glob of the recipe matches nothing, or it has settings for a part there is none of.
        AuditError: a precision was not realised.
        VoiceError: the voice's style is not of this model.
    """
    refuse_foreign_directory(out)
    settings = recipe.gpt_sovits or GptSovits()
    clock = StageClock(listener)
    started = Started.now(clock, command)
    with clock.stage("read checkpoints") as stage:
        pair = read_pair(paths)
        chosen = _checked_voice(voice, pair)
        features = None if chosen is None else chosen.features
        listeners.check(folded=features is not None, settings=settings)
        stage.fact = f"{pair.gpt.info or pair.gpt.path.name}; {pair.sovits.info or pair.sovits.path.name}"
    semantic = semantic_model(pair.gpt, share=True)
    heard = listeners_of(listeners, pair.sovits, semantic.config)
    check_recipe(recipe, semantic, pair.sovits, heard)
    repro = out.with_name(f"{out.name}-repro")
    resume = resume_folder(out)
    precision = GraphPrecision(recipe, _speech(pair, semantic, features, recipe.seed), clock, resume)
    with building(out) as directory:
        spoken = pair_graphs(pair, semantic, settings, features, recipe.seed)
        wanted = chain(spoken, listening_graphs(pair.sovits, heard, settings, recipe.seed))
        graphs = [convert_graph(graph, recipe, clock, repro, directory, precision) for graph in wanted]
        facts = {**_facts(pair, semantic, features), **listening_facts(heard)}
        listening = _listening(pair, semantic, features)
        result = finish(graphs, facts, _source(pair, chosen, heard), recipe, directory, started, listening)
    shutil.rmtree(resume, ignore_errors=True)
    return Outcome(result=result, verdict=verdict_text(result, out), passed=result.passed)


def read_pair(paths: Sequence[Path]) -> Pair:
    """Reads both halves, whichever comes first.

    Raises:
        CheckpointError: a file is unusable, both are the same half, or they are of different versions.
    """
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
    from toolkit.models.gpt_sovits.semantic_config import semantic_config

    found = [read_checkpoint(path) for path in paths]
    kinds = {checkpoint.kind: checkpoint for checkpoint in found}
    if len(found) != 2 or len(kinds) != 2:
        what = "GPT" if "gpt" in kinds else "SoVITS"
        raise CheckpointError(
            f"both files are {what} checkpoints",
            code="checkpoint/pair",
            where=", ".join(str(path) for path in paths),
            hint="give the GPT .ckpt and the SoVITS .pth of one model",
        )
    pair = Pair(gpt=kinds["gpt"], sovits=kinds["sovits"])
    if (pair.gpt.version == "v1") != (pair.sovits.version == "v1"):
        raise CheckpointError(
            f"the GPT file is of {pair.gpt.version}, the SoVITS file of {pair.sovits.version}: their phones differ",
            code="checkpoint/pair",
            where=f"{pair.gpt.path}, {pair.sovits.path}",
            hint="both files must come from the same version of GPT-SoVITS",
        )
    config = semantic_config(pair.gpt.weights, heads=attention_heads(pair.gpt), where=str(pair.gpt.path))
    sizes = pair.sovits.sovits
    if sizes is None or config.stop_token != sizes.codes or config.symbols < sizes.symbols:
        sung = None if sizes is None else (sizes.symbols, sizes.codes)
        raise CheckpointError(
            f"the GPT file knows {config.symbols} phones and {config.stop_token} codes, "
            f"the SoVITS file (phones, codes) {sung}",
            code="checkpoint/pair",
            where=f"{pair.gpt.path}, {pair.sovits.path}",
            hint="both files must belong to one model",
        )
    return pair


def semantic_model(gpt: Checkpoint, *, share: bool = False) -> SemanticModel:
    """The model of a GPT checkpoint.

    Raises:
        InputError: the file does not tell the number of attention heads.
    """
    from toolkit.models.gpt_sovits.semantic import load_semantic

    return load_semantic(gpt.weights, heads=attention_heads(gpt), where=str(gpt.path), share=share)


def attention_heads(gpt: Checkpoint) -> int | None:
    """Attention heads, which no tensor tells."""
    return gpt.config.get("model", {}).get("head")


def pair_graphs(
    pair: Pair, semantic: SemanticModel, settings: GptSovits, features: VoiceFeatures | None, seed: int
) -> Iterator[PhoneGraph]:
    """The graphs of a model at the lengths of a recipe, made one after the other."""
    from toolkit.models.gpt_sovits.semantic_graphs import SemanticBuckets, semantic_graphs

    lengths = SemanticBuckets(prefill=settings.prefill, cache_rows=settings.cache_rows)
    yield from semantic_graphs(semantic, lengths, features=settings.text_features, seed=seed)
    yield from sung_graphs(pair.sovits, settings, _style(features), seed)


def sung_graphs(sovits: Checkpoint, settings: GptSovits, voice: Style | None, seed: int) -> Iterator[PhoneGraph]:
    """The graphs that make sound of codes, at the lengths of a recipe; ``voice`` is folded in where there is one."""
    from toolkit.models.gpt_sovits.sovits_graphs import SovitsBuckets, sovits_graphs

    buckets = SovitsBuckets(
        text=settings.text,
        flow=settings.flow,
        vocoder_stream=settings.vocoder_stream,
        vocoder_light_stream=settings.vocoder_stream if settings.light_vocoder else (),
    )
    yield from sovits_graphs(sovits, buckets, voice=voice, seed=seed)


def _style(features: VoiceFeatures | None) -> Style | None:
    import torch

    from toolkit.models.gpt_sovits.sovits_graphs import Style

    if features is None:
        return None
    ge = torch.from_numpy(features.arrays["ge"])
    ge_text = features.arrays.get("ge_text")
    return Style(ge=ge, ge_text=ge if ge_text is None else torch.from_numpy(ge_text))


def _speech(pair: Pair, semantic: SemanticModel, features: VoiceFeatures | None, seed: int) -> SpokenSentences:
    """Sentences to calibrate and train on, after the voice's own prompt where there is one."""
    from toolkit.models.gpt_sovits.calibration import Prompt, SpokenSentences

    prompt = None
    if features is not None:
        arrays = features.arrays
        prompt = Prompt(phones=arrays["prompt_phones"], codes=arrays["prompt_codes"], bert=arrays.get("prompt_bert"))
    return SpokenSentences(semantic, pair.sovits, voice=_style(features), prompt=prompt, seed=seed)


def _listening(pair: Pair, semantic: SemanticModel, features: VoiceFeatures | None) -> Listening:
    from toolkit.models.gpt_sovits.seeded import LABEL
    from toolkit.pipeline.torch_speech import speech_of

    if features is None:
        return Listening(missing="no voice is folded in (--voice): nobody is there to speak")
    random = LABEL in (pair.gpt.info, pair.sovits.info)
    return Listening(speech=speech_of(pair, semantic, features), random=random)


def graph_part(graph: PhoneGraph) -> SourcePart:
    """A graph as the chain takes it; all its probes are real."""
    return SourcePart(
        name=graph.kind,
        bucket=graph.bucket,
        model=graph.module,
        spec=graph.spec,
        probes=graph.probes,
        real_probes=len(graph.probes),
    )


def convert_graph(
    graph: PhoneGraph,
    recipe: Recipe,
    clock: StageClock,
    repro: Path,
    directory: RunDirectory,
    precision: GraphPrecision,
) -> ConvertedGraph:
    """One graph through the chain, proven at every hop and given its precision; its float file is kept.

    Raises:
        ParityError: a hop diverges from torch.
        RecipeError: a precision rule matches nothing.
        AuditError: a precision was not realised.
        DelegateError: the runtime the recipe asks for is too old for the graph.
    """
    part = graph_part(graph)
    floats = convert_float(part, recipe, clock, repro)
    directory.write_bytes(f"float32/{graph.name}.tflite", floats.tflite)
    compressed, lost = precision.give(graph, floats)
    check_runtime(compressed.tflite, part.key, recipe.delegate.runtime)
    shipped = Shipped(
        name=graph.kind,
        bucket=graph.bucket,
        tflite=compressed.tflite,
        interface=compressed.relayered.interface,
        torch_names=dict(compressed.relayered.torch_names),
        audit=tuple(row.model_copy(update={"part": part.key}) for row in compressed.audit.rows),
        sparsity=tuple(compressed.sparse.rows) if compressed.sparse else (),
        matched={pattern: tuple(names) for pattern, names in compressed.plan.matched.items()},
        compared=lost.layers,
    )
    release_unused_memory(len(floats.tflite))
    return ConvertedGraph(shipped=shipped, parity=floats.parity, lost=lost, probe=graph.probes[0])


def _facts(pair: Pair, semantic: SemanticModel, features: VoiceFeatures | None) -> dict[str, Any]:
    return {
        "label": _title(pair),
        **sung_facts(pair.sovits),
        "style_sha256": "" if features is None else features.style_sha256,
        "symbols": sovits_sizes(pair.sovits).symbols,
        "semantic": semantic_facts(semantic),
    }


def sovits_sizes(checkpoint: Checkpoint) -> SovitsConfig:
    """Sizes of a SoVITS checkpoint.

    Raises:
        InputError: it is none.
    """
    if checkpoint.sovits is None:
        raise InputError("not a SoVITS checkpoint", where=str(checkpoint.path))
    return checkpoint.sovits


def sung_facts(sovits: Checkpoint) -> dict[str, Any]:
    """What ``engine.json`` says of the half that makes sound.

    Raises:
        InputError: the checkpoint is no SoVITS half.
    """
    from toolkit.models.gpt_sovits.sovits_graphs import NOISE_SCALE, overlap_frames

    sizes = sovits_sizes(sovits)
    return {
        "version": sovits.version,
        "model_sha256": sovits.sha256,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "samples_per_frame": sizes.generator.hop,
        "overlap_frames": overlap_frames(sizes),
        "noise_scale": NOISE_SCALE,
    }


def semantic_facts(model: SemanticModel) -> dict[str, Any]:
    """What ``engine.json`` says of the text-to-semantic model."""
    config = model.config
    return {
        "width": config.width,
        "layers": config.layers,
        "vocabulary": config.vocabulary,
        "stop_token": config.stop_token,
        "text_alpha": float(model.ar_text_position.alpha),
        "audio_alpha": float(model.ar_audio_position.alpha),
    }


def _title(pair: Pair) -> str:
    notes = dict.fromkeys(note for note in (pair.gpt.info, pair.sovits.info) if note)
    return f"GPT-SoVITS {pair.sovits.version}" + (f" ({'; '.join(notes)})" if notes else "")


def _source(pair: Pair, voice: ChosenVoice | None, heard: Listeners) -> Source:
    inputs = {checkpoint.path.name: checkpoint.sha256 for checkpoint in (pair.gpt, pair.sovits)}
    inputs |= heard.sources
    if voice is not None:
        inputs[voice.name] = voice.sha256
    return Source(name=pair.sovits.path.stem, label=_title(pair), kind="voice", voice=None, inputs=inputs)


def _checked_voice(where: str, pair: Pair) -> ChosenVoice | None:
    """The voice to fold in, after it was found to be the model's."""
    if not where:
        return None
    voice, sizes = chosen_voice(where), pair.sovits.sovits
    arrays, made_with = voice.features.arrays, voice.features.model_sha256
    gin = 0 if sizes is None else sizes.gin
    speaker = sizes is not None and bool(sizes.speaker)
    if arrays["ge"].shape[1] != gin or (speaker and "ge_text" not in arrays):
        raise VoiceError(
            f"its style is {arrays['ge'].shape[1]} wide"
            + ("" if "ge_text" in arrays else " and it has no ge_text")
            + f"; this {pair.sovits.version} model wants {gin}"
            + (" and ge_text" if speaker else ""),
            code="engine/voice-mismatch",
            where=where,
            hint="enrol the voice with this model",
        )
    if made_with and made_with != pair.sovits.sha256:
        raise VoiceError(
            "it was enrolled with another SoVITS checkpoint than this one",
            code="engine/voice-mismatch",
            where=where,
            hint="enrol the voice with this model",
        )
    return voice
