"""One whole sentence with a GPT-SoVITS bundle, text to sound: what each phase of the engine takes.

The stop token is held back until the wanted number of codes is made, so that every bundle and every seed says the same
length of speech (25 codes are a second of sound). The voice is made of seeded random numbers: its prompt and style
have the sizes of a real one, which is all that time depends on; what is said is not speech.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from toolkit.engine.acoustics import longest_codes
from toolkit.engine.bundle import Bundle
from toolkit.engine.degrade import NO_DEADLINE, Ladder
from toolkit.engine.loading import GraphLoader, Opener
from toolkit.engine.residency import UNBOUNDED_BYTES, Residency
from toolkit.engine.singing import rungs_of
from toolkit.engine.speaking import Engine, Sentence, SpeechReport
from toolkit.errors import BenchError
from toolkit.voices.features import VoiceFeatures, checked_features

CODES_PER_SECOND = 25
PROMPT_SECONDS = 3  # upstream takes references of 3 to 10 s
_PROMPT_PHONES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceTimes:
    """Seconds one sentence took.

    Attributes:
        whole: from phones to the last sample.
        first_audio: from phones to the first samples.
        prefill: reading text and prompt.
        steps: the token loop.
        acoustics: text encoder and flow.
        vocoder: the rest.
    """

    whole: float
    first_audio: float = float("nan")
    prefill: float = float("nan")
    steps: float = float("nan")
    acoustics: float = float("nan")
    vocoder: float = float("nan")


Speaker = Callable[[int], SentenceTimes]
"""Says the sentence with a seed."""


def made_voice(bundle: Bundle, seed: int = 0) -> VoiceFeatures:
    """A voice of random numbers that fits a bundle's graphs; its prompt lasts 3 s where they take that."""
    draw = np.random.default_rng([seed, 7])
    wanted = {name: fact.shape for graph in bundle.graphs.values() for name, fact in graph.tensors.items()}
    styles = {name: draw.standard_normal(wanted[name]) for name in ("ge", "ge_text") if name in wanted}
    prefill = bundle.of_kind("t2s_prefill")[-1].tensors
    codes = min(PROMPT_SECONDS * CODES_PER_SECOND, prefill["prompts"].shape[1])
    phones = min(_PROMPT_PHONES, prefill["phones"].shape[1] // 2)
    return checked_features(
        {
            "ge": np.zeros((1, 1, 1)),  # folded: the graphs ask for none
            **styles,
            "prompt_codes": draw.integers(0, bundle.semantic.vocabulary - 1, codes),
            "prompt_phones": draw.integers(0, bundle.symbols, phones),
        },
        "en",
    )


def made_sentence(bundle: Bundle, phones: int, seed: int = 0) -> Sentence:
    """A sentence of random phones."""
    draw = np.random.default_rng([seed, 8])
    return Sentence(phones=draw.integers(0, bundle.symbols, phones).astype(np.int32), text="made phones")


def of_length(bundle: Bundle, codes: int, phones: int) -> Bundle:
    """The bundle, which then says exactly so many codes, as whatever voice.

    Raises:
        BenchError: it says no such sentence.
    """
    if bundle.contents != "speech":
        raise BenchError(
            "this bundle makes codes and no sound", code="bench/sentence", where=str(bundle.folder),
            hint="its token step is measured where bundles of codes are given alone",
        )  # fmt: skip
    longest = longest_codes(bundle, phones)
    if not 0 < codes <= longest:
        raise BenchError(
            f"a sentence of {codes} codes and {phones} phones; this bundle makes at most {longest} codes of {phones} "
            "phones",
            code="bench/sentence",
            where=str(bundle.folder),
            hint="ask for a shorter sentence, or convert with longer buckets",
        )
    facts = replace(bundle.semantic, steps_min=codes, steps_max=codes)
    return replace(bundle, semantic=facts, style_sha256="")


def engine_speaker(
    bundle: Bundle,
    *,
    codes: int,
    phones: int,
    threads: int,
    voice: VoiceFeatures | None = None,
    opener: Opener | None = None,
) -> Speaker:
    """Says a sentence with the engine; everything it loads stays.

    Args:
        bundle: with what.
        codes: how long, 25 a second.
        phones: of the sentence.
        threads: of each interpreter.
        voice: who; made up otherwise.
        opener: runs the graphs; LiteRT by default.

    Raises:
        BenchError: the bundle says no such sentence.
    """
    fixed = of_length(bundle, codes, phones)
    speaker = Engine(
        fixed,
        GraphLoader(Residency(UNBOUNDED_BYTES), threads=threads, opener=opener),
        Ladder(rungs_of(fixed), NO_DEADLINE),
    )
    who, sentence = voice or made_voice(bundle), made_sentence(bundle, phones)

    def say(seed: int) -> SentenceTimes:
        report, started = SpeechReport(), time.perf_counter()
        pieces = list(speaker.speak(who, [sentence], seed=seed, report=report))
        whole = time.perf_counter() - started
        samples = sum(len(piece.samples) for piece in pieces if piece.rung != "pause")
        if report.codes != codes or samples != 2 * codes * bundle.samples_per_frame:
            raise BenchError(
                f"{report.codes} codes and {samples} samples instead of {codes} codes: {'; '.join(report.notes)}",
                code="bench/sentence",
                where=str(bundle.folder),
            )
        return SentenceTimes(
            whole=whole,
            first_audio=report.first_audio_seconds,
            prefill=report.prefill_seconds,
            steps=report.step_seconds,
            acoustics=report.acoustic_seconds,
            vocoder=whole - report.prefill_seconds - report.step_seconds - report.acoustic_seconds,
        )

    return say


def race_sentences(
    speakers: Mapping[str, Speaker], rounds: int, on_round: Callable[[int, int], None] = lambda done, of: None
) -> dict[str, list[SentenceTimes]]:
    """Every speaker says the sentence once to load, then all take turns, round by round.

    Args:
        speakers: by name.
        rounds: sentences each says that count.
        on_round: told of rounds done, the loading one included, and of how many there are.
    """
    for say in speakers.values():
        say(0)
    on_round(1, rounds + 1)
    found: dict[str, list[SentenceTimes]] = {name: [] for name in speakers}
    for number in range(rounds):
        for name, say in speakers.items():
            found[name].append(say(number))
        on_round(number + 2, rounds + 1)
    return found
