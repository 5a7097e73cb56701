"""Held-out sentences by a GPT-SoVITS voice in torch and by its bundle: to listen to, and to judge.

What is to be heard is the bundle as it ships, its own codes included: sampled codes part ways at the first difference,
so the two may be different takes of the sentence. What is judged pairs: the shipped text encoder, flow and vocoder sing
the codes torch chose, from the same noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from converters.errors import ExtraMissing
from toolkit.engine.acoustics import latent_frames, longest_codes
from toolkit.engine.bundle import Bundle, read_bundle
from toolkit.engine.degrade import NO_DEADLINE, Ladder
from toolkit.engine.loading import GraphLoader
from toolkit.engine.residency import UNBOUNDED_BYTES, Residency
from toolkit.engine.singing import Singer, rungs_of
from toolkit.engine.speaking import Engine
from toolkit.engine.speaking import Sentence as Spoken
from toolkit.errors import EngineError
from toolkit.pipeline import listening
from toolkit.pipeline.hearing import Heard
from toolkit.recipe.schema import Recipe
from toolkit.text.front_end import aligned_phones_of

if TYPE_CHECKING:
    from toolkit.data import Sentence
    from toolkit.pipeline.events import StageClock
    from toolkit.pipeline.run_directory import RunDirectory
    from toolkit.pipeline.torch_speech import SpokenSentence, TorchSpeech

_LANGUAGE = "en"  # of the held-out sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What can be said in torch, or why nothing can.

    Attributes:
        speech: the model as one voice.
        missing: why there is none.
        random: the weights are random numbers; no opinion on them is of use.
    """

    speech: TorchSpeech | None = None
    missing: str = ""
    random: bool = False


def listen(asked: Listening, recipe: Recipe, run: RunDirectory, clock: StageClock) -> Heard:
    """Speaks held-out sentences with torch and with the run's bundle, writes both, and judges the bundle's sound.

    Args:
        asked: who speaks.
        recipe: how many sentences, and the seed.
        run: holds the bundle; gets the clips.
        clock: told about every stage.
    """
    speech = asked.speech
    if speech is None or not recipe.quality.utterances:
        return Heard(missing={"quality": asked.missing or "the recipe judges no sentences (quality.utterances is 0)"})
    bundle = read_bundle(run.path / "bundle")
    try:
        chosen = _sentences(bundle, speech, recipe.quality.utterances)
    except ExtraMissing as error:
        return Heard(missing={"quality": f"{error.message}; {error.hint}"})
    if not chosen:
        return Heard(missing={"quality": "no held-out sentence is short enough for the recipe's lengths"})
    sentences = [sentence for sentence, _ in chosen]
    name, seed = "speak held-out sentences", recipe.quality.seed
    floats: list[SpokenSentence] = []
    paired, loader = [], GraphLoader(Residency(UNBOUNDED_BYTES))
    with clock.stage(name) as stage:
        for number, (sentence, phones) in enumerate(chosen):
            limit = longest_codes(bundle, len(phones))
            floats.append(speech.speak(phones, number=number, seed=seed, codes_max=limit))
            paired.append(_sung(bundle, loader, speech, phones, floats[-1].codes, [seed, number, 1]))
            clock.listener.progress(name, number + 1, len(chosen), sentence.name)
        whole = _said(bundle, loader, speech, [phones for _, phones in chosen], seed)
        seconds = sum(len(one.samples) for one in floats) / bundle.sample_rate_hz
        stage.fact = f"{len(chosen)} sentences, {seconds:.0f} s"
    reference = _waves([one.samples for one in floats])
    clips = listening.write_clips(run, reference, _waves(whole), sentences, bundle.sample_rate_hz)
    if asked.random:
        return Heard(missing={"quality": "the weights are random numbers: there is nothing to judge"}, clips=clips)
    with clock.stage("judge the shipped sound") as stage:
        quality, absent = listening.judge(
            reference, _waves(paired), sentences, bundle.sample_rate_hz, "shipped graphs on torch's codes"
        )
        stage.fact = listening.summary(quality)
    return Heard(quality=quality, missing={"quality": "; ".join(absent)} if absent else {}, clips=clips)


def _waves(waves: Sequence[np.ndarray]) -> listening.Spoken:
    return listening.Spoken(waves=tuple(waves), durations=())


def _sentences(bundle: Bundle, speech: TorchSpeech, count: int) -> list[tuple[Sentence, np.ndarray]]:
    """Held-out sentences the bundle has lengths for, with their phones."""
    from toolkit.data import load_manifest

    prompt = len(speech.voice.arrays["prompt_phones"])
    room = max(graph.tensors["phones"].shape[1] for graph in bundle.of_kind("t2s_prefill")) - prompt
    found = []
    for sentence in load_manifest().split("evaluation"):
        phones = np.asarray(aligned_phones_of(sentence.text, _LANGUAGE, bundle.symbols).ids, np.int32)
        if len(phones) <= room and _fits(bundle, len(phones)):
            found.append((sentence, phones))
        if len(found) == count:
            break
    return found


def _fits(bundle: Bundle, phones: int) -> bool:
    try:
        return longest_codes(bundle, phones) > 0
    except EngineError:
        return False


def _said(
    bundle: Bundle, loader: GraphLoader, speech: TorchSpeech, phones: Sequence[np.ndarray], seed: int
) -> list[np.ndarray]:
    """The sentences as the bundle says them."""
    engine = Engine(bundle, loader, Ladder(rungs_of(bundle), NO_DEADLINE))
    said: list[list[np.ndarray]] = [[np.zeros(0, np.float32)] for _ in phones]
    for piece in engine.speak(speech.voice, [Spoken(phones=one) for one in phones], seed=seed):
        if piece.rung != "pause":
            said[piece.sentence].append(piece.samples)
    return [np.concatenate(samples) for samples in said]


def _sung(
    bundle: Bundle,
    loader: GraphLoader,
    speech: TorchSpeech,
    phones: np.ndarray,
    codes: np.ndarray,
    seed: Sequence[int],
) -> np.ndarray:
    """The codes torch chose, made sound by the shipped graphs."""
    styles = {name: array for name, array in speech.voice.arrays.items() if name in ("ge", "ge_text")}
    with loader.using(bundle) as graphs:
        draw = np.random.default_rng(list(seed))
        latent = latent_frames(bundle, graphs, codes, phones, styles, draw, bundle.noise_scale)
    singer = Singer(bundle, loader, Ladder(rungs_of(bundle), NO_DEADLINE), memory_short=lambda: False)
    return np.concatenate([chunk.samples for chunk in singer.sing(latent, styles, 0.0)])
