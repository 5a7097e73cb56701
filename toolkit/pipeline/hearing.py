"""Held-out sentences by the float voice and by what ships: the decoder alone, the whole voice, and in its own time.

A student is heard against its teacher: the float voice is then not the one that was converted but the one it was made
of, found by the digests in the student's file (`toolkit.pipeline.teacher`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from converters.spec import Runner
from converters.tflite_graph.run import tflite_runner
from toolkit.data import Manifest
from toolkit.pipeline import listening
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.reuse import Reuse, spoken_digest
from toolkit.pipeline.run_directory import RunDirectory
from toolkit.pipeline.shipping import Shipped
from toolkit.pipeline.sources import Source
from toolkit.recipe.schema import Recipe
from toolkit.results import Clip, Quality

if TYPE_CHECKING:
    from toolkit.models.voice import Voice


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What listening found; ``missing`` says why there is nothing.

    Attributes:
        quality: the shipped decoder on the float voice's latents.
        whole: all shipped parts together, in the float voice's time.
        own_timing: all shipped parts and the voice's own durations, where these are a graph.
        missing: what could not be measured, and why.
        clips: some of the sentences.
    """

    quality: Quality | None = None
    whole: Quality | None = None
    own_timing: listening.OwnTiming | None = None
    missing: dict[str, str] = field(default_factory=dict)
    clips: tuple[Clip, ...] = ()


def shipped_runners(shipped: Sequence[Shipped], threads: int = 2) -> dict[str, dict[int, Runner]]:
    """Runners of the shipped parts by name and bucket."""
    runners: dict[str, dict[int, Runner]] = {}
    for part in shipped:
        runners.setdefault(part.name, {})[part.bucket] = tflite_runner(part.tflite, part.interface, num_threads=threads)
    return runners


def listen(
    source: Source,
    shipped: Sequence[Shipped],
    recipe: Recipe,
    manifest: Manifest | None,
    run: RunDirectory,
    clock: StageClock,
    reuse: Reuse,
) -> Heard:
    """Says the sentences and judges them; nothing for a model that is no voice."""
    voice, reference_voice = source.voice, source.judged_against
    if voice is None or reference_voice is None or manifest is None:
        return Heard(missing={"quality": "the model makes no speech; see the signal-to-noise ratio of the result"})
    if not recipe.quality.utterances:
        return Heard(missing={"quality": "the recipe judges no sentences (quality.utterances is 0)"})
    from toolkit.models.threads import threads_of
    from toolkit.models.voice import Buckets

    sentences = manifest.split("evaluation")[: recipe.quality.utterances]
    name = "speak held-out sentences"
    buckets = Buckets(phonemes=recipe.buckets.phonemes, frames=recipe.buckets.frames)
    rate = voice.sample_rate_hz
    # One thread: torch's sound, and with it the last digit of every judgement, must not depend on the machine's cores.
    with clock.stage(name) as stage, threads_of(1):

        def progress(done: int, total: int, note: str) -> None:
            clock.listener.progress(name, done, total, note)

        names, weights = [sentence.name for sentence in sentences], json.dumps([source.name, source.inputs])
        float_runners = reference_voice.torch_runners(buckets)
        reference = reuse.spoken(
            spoken_digest(names, recipe.quality, recipe.buckets, weights),
            lambda: listening.speak(reference_voice, float_runners, sentences, recipe.quality, progress),
        )
        # The float voice's durations are kept, so that both say the same frames and every metric pairs.
        runners = shipped_runners(shipped)
        whole = listening.speak(voice, runners, sentences, recipe.quality, progress, like=reference)
        # The decoder alone, on the float voice's own latents: here even the waveforms pair.
        mixed, decoder = _with_decoder(reference_voice, voice), {**float_runners, "decoder": runners["decoder"]}
        candidate = listening.speak(mixed, decoder, sentences, recipe.quality, progress, like=reference)
        timed = None
        if "durations" in runners:
            timed = listening.speak(
                _timed_by(voice, runners["durations"]), runners, sentences, recipe.quality, progress
            )
        seconds = sum(map(len, reference.waves)) / rate
        stage.fact = f"{len(sentences)} sentences, {seconds:.0f} s"
    against = listening.FLOAT_VOICE
    if source.teacher is not None:
        against = f"the teacher {source.teacher.name} in float (torch)"
    clips = listening.write_clips(run, reference, whole, sentences, rate)
    with clock.stage("judge the shipped decoder") as stage:
        what = "shipped decoder on the float latents"
        quality, absent = listening.judge(reference, candidate, sentences, rate, what, against, reuse.judgements)
        stage.fact = listening.summary(quality)
    with clock.stage("judge the whole shipped voice") as stage:
        what = "whole shipped voice"
        all_parts, _ = listening.judge(reference, whole, sentences, rate, what, against, reuse.judgements)
        stage.fact = listening.summary(all_parts)
    own_timing = None
    if timed is not None:
        with clock.stage("judge the whole shipped voice in its own time") as stage:
            own_timing = listening.judge_timing(reference, timed, rate, reuse.judgements)
            stage.fact = own_timing.text
    return Heard(
        quality=quality,
        whole=all_parts,
        own_timing=own_timing,
        missing={"quality": "; ".join(absent)} if absent else {},
        clips=clips,
    )


def _with_decoder(reference: Voice, voice: Voice) -> Voice:
    """The host side of a reference whose latents another voice's decoder is given."""
    return replace(reference, config=replace(reference.config, generator=voice.config.generator))


def _timed_by(voice: Voice, runners: dict[int, Runner]) -> Voice:
    from toolkit.models.vits.durations import GraphDurations

    return replace(voice, durations=GraphDurations(runners=runners))
