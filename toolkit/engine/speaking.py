"""The engine: sentences and a voice in, samples out as they are made.

phones -> semantic codes -> latent frames -> chunks of samples, 0.3 s of silence after each sentence
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from toolkit.engine.acoustics import latent_frames, longest_codes
from toolkit.engine.bundle import Bundle
from toolkit.engine.degrade import Ladder
from toolkit.engine.loading import GraphLoader
from toolkit.engine.memory import available_bytes
from toolkit.engine.parallel_codes import ParallelDecoder, is_parallel_bundle
from toolkit.engine.sampling import Sampler, SamplingSettings
from toolkit.engine.semantic import SemanticCodes, SemanticDecoder, prefill_bytes
from toolkit.engine.singing import Singer
from toolkit.engine.sound import pause
from toolkit.engine.tempo import checked_speed
from toolkit.errors import EngineError
from toolkit.voices.features import VoiceFeatures

_RESERVE_BYTES = 64 << 20  # what the machine should have left; below it the system starts to kill


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sentence:
    """What is said in one go.

    Attributes:
        phones: ``[Tp] int32`` ids.
        text: what they were made of, for messages.
        bert: ``[features, Tp] float32`` text features; zeros are used when there are none.
    """

    phones: np.ndarray = field(repr=False)
    text: str = ""
    bert: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """Some of the speech, in order.

    Attributes:
        sentence: index of the sentence.
        index: index of the piece within it, from 0, without gaps.
        samples: ``[n] float32``.
        rung: what made it; ``pause`` for the silence after a sentence, which is its last piece.
    """

    sentence: int
    index: int
    samples: np.ndarray = field(repr=False)
    rung: str


@dataclass(slots=True, kw_only=True)
class SpeechReport:
    """What speaking took, filled in while the pieces are made.

    Attributes:
        first_audio_seconds: from the call to the first samples.
        audio_seconds: length of what was made, pauses included.
        elapsed_seconds: time spent making it; the consumer's time between pieces is not in it.
        prefill_seconds: of that, reading text and prompt.
        step_seconds: of that, the token loop.
        acoustic_seconds: of that, text encoder and flow.
        codes: semantic codes made.
        notes: what should be known: sentences cut by a limit, moves on the ladder.
    """

    first_audio_seconds: float = 0.0
    audio_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    prefill_seconds: float = 0.0
    step_seconds: float = 0.0
    acoustic_seconds: float = 0.0
    codes: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of audio."""
        return self.elapsed_seconds / self.audio_seconds if self.audio_seconds else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    """How sentences are said; see ``Engine.speak``."""

    seed: int
    sampling: SamplingSettings
    noise_scale: float
    speed: float


class Engine:
    """Speaks with one bundle; several engines may share a loader and with it the memory bound.

    Args:
        bundle: what to speak with.
        loader: opens its graphs.
        ladder: how it may run; remembers where it stands between calls.
        memory_short: whether the machine runs out, although everything unused was dropped.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        bundle: Bundle,
        loader: GraphLoader,
        ladder: Ladder,
        *,
        memory_short: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.bundle = bundle
        self.ladder = ladder
        self._loader = loader
        self._clock = clock
        self._singer = Singer(bundle, loader, ladder, memory_short=memory_short or self._memory_short, clock=clock)

    def speak(
        self,
        voice: VoiceFeatures,
        sentences: Iterable[Sentence],
        *,
        seed: int = 0,
        sampling: SamplingSettings | None = None,
        noise_scale: float | None = None,
        speed: float = 1.0,
        report: SpeechReport | None = None,
    ) -> Iterator[Piece]:
        """The pieces of the speech, as they are made.

        Each sentence has its own generators, so a sentence sounds the same whatever was said before it and whatever
        failed while it was made.

        Args:
            voice: who speaks.
            sentences: what is said; taken one by one, so that they may be made while others are spoken.
            seed: of tokens and noise.
            sampling: how tokens are drawn; the bundle's default otherwise.
            noise_scale: width of the latent noise; the bundle's default otherwise.
            speed: 1 is as the model speaks, more is faster; the codes are the same at every speed.
            report: filled in while the pieces are made.

        Raises:
            EngineError: the voice belongs to another model, the speed is out of range, a sentence fits no bucket, or
                the last rung failed.
        """
        check_voice(self.bundle, voice)
        report = report if report is not None else SpeechReport()
        delivery = _Delivery(
            seed=seed,
            sampling=sampling or self.bundle.sampling,
            noise_scale=self.bundle.noise_scale if noise_scale is None else noise_scale,
            speed=checked_speed(speed),
        )
        moves, self.ladder.unmet = len(self.ladder.moves), ""
        spent, started = 0.0, self._clock()
        for number, sentence in enumerate(sentences):
            made = self._sentence(voice, sentence, number, delivery, report)
            index = 0
            for samples, rung in chain(made, [(pause(self.bundle.sample_rate_hz), "pause")]):
                spent += self._clock() - started
                report.first_audio_seconds = report.first_audio_seconds or spent
                report.elapsed_seconds = spent
                report.audio_seconds += len(samples) / self.bundle.sample_rate_hz
                yield Piece(sentence=number, index=index, samples=samples, rung=rung)
                index, started = index + 1, self._clock()
        report.notes.extend(str(move) for move in self.ladder.moves[moves:])
        report.notes.extend([self.ladder.unmet] if self.ladder.unmet else [])

    def _sentence(
        self,
        voice: VoiceFeatures,
        sentence: Sentence,
        number: int,
        delivery: _Delivery,
        report: SpeechReport,
    ) -> Iterator[tuple[np.ndarray, str]]:
        bert = _features(voice, sentence)
        if bert is not None and not self._takes_features():
            bert = None
            report.notes.append(f"sentence {number}: the bundle was converted without text features; they are left out")
        sampler = Sampler(delivery.sampling, np.random.default_rng([delivery.seed, number, 0]))
        codes = self._codes(voice, sentence, bert, sampler, delivery.speed)
        report.prefill_seconds += codes.prefill_seconds
        report.step_seconds += codes.step_seconds
        report.codes += len(codes.codes)
        if codes.stopped == "limit":
            slow = f" at speed {delivery.speed:g}" if delivery.speed < 1 else ""
            report.notes.append(
                f"sentence {number}: cut at {len(codes.codes)} codes, the longest this bundle takes{slow}"
            )
        if not len(codes.codes):
            report.notes.append(f"sentence {number}: the model ended it at once")
            return
        styles = {name: array for name, array in voice.arrays.items() if name in ("ge", "ge_text")}
        started = self._clock()
        latent = self._latent(codes.codes, sentence, styles, number, delivery)
        acoustic = self._clock() - started
        report.acoustic_seconds += acoustic
        earlier = codes.prefill_seconds + codes.step_seconds + acoustic
        for chunk in self._singer.sing(latent, styles, earlier):
            yield chunk.samples, chunk.rung

    def _takes_features(self) -> bool:
        return any("bert" in graph.tensors for graph in self.bundle.of_kind("t2s_prefill"))

    def _codes(
        self, voice: VoiceFeatures, sentence: Sentence, bert: np.ndarray | None, sampler: Sampler, speed: float
    ) -> SemanticCodes:
        limit = most_codes(self.bundle, voice, len(sentence.phones), sentence.text, speed)
        if is_parallel_bundle(self.bundle):
            return self._codes_at_once(sentence, limit)
        phones = np.concatenate([voice.arrays["prompt_phones"], sentence.phones]).astype(np.int32)
        self._loader.residency.make_room(prefill_bytes(self.bundle, len(phones), len(voice.arrays["prompt_codes"])))
        with self._loader.using(self.bundle) as graphs:
            return SemanticDecoder(self.bundle, graphs, self._clock).decode(
                phones, voice.arrays["prompt_codes"], sampler, bert=bert, limit=limit
            )

    def _codes_at_once(self, sentence: Sentence, limit: int) -> SemanticCodes:
        """By a convolutional student: one voice, so the reference says nothing, and nothing is drawn."""
        started = self._clock()
        with self._loader.using(self.bundle) as graphs:
            codes = ParallelDecoder(self.bundle, graphs).codes(sentence.phones)
        return SemanticCodes(
            codes=codes[:limit],
            stopped="stop" if len(codes) <= limit else "limit",
            prefill_seconds=self._clock() - started,
            step_seconds=0.0,
        )

    def _latent(
        self,
        codes: np.ndarray,
        sentence: Sentence,
        styles: Mapping[str, np.ndarray],
        number: int,
        delivery: _Delivery,
    ) -> np.ndarray:
        scale, speed = delivery.noise_scale, delivery.speed
        while True:
            try:
                with self._loader.using(self.bundle, self.ladder.rung.delegate) as graphs:
                    generator = np.random.default_rng([delivery.seed, number, 1])
                    return latent_frames(self.bundle, graphs, codes, sentence.phones, styles, generator, scale, speed)
            except EngineError as error:
                if not self._singer.fell(error):
                    raise

    def _memory_short(self) -> bool:
        if available_bytes() >= _RESERVE_BYTES:
            return False
        self._loader.residency.shrink_to(0)
        return available_bytes() < _RESERVE_BYTES


def most_codes(bundle: Bundle, voice: VoiceFeatures, phones: int, text: str, speed: float = 1.0) -> int:
    """Most codes a sentence may have; the caller of `Engine.speak` asks it of all sentences before the first is heard.

    Args:
        bundle: what speaks.
        voice: whose prompt stands before the sentence.
        phones: of the sentence.
        text: of the sentence, for messages.
        speed: of speech.

    Raises:
        EngineError: no bucket is long enough.
    """
    limit = longest_codes(bundle, phones, speed)
    before = 0 if is_parallel_bundle(bundle) else len(voice.arrays["prompt_phones"])
    room = max((graph.tensors["phones"].shape[1] for graph in bundle.of_kind("t2s_prefill")), default=phones)
    if limit and before + phones <= room:
        return limit
    prompt = f" behind the {before} of the voice's prompt" if limit else ""
    raise EngineError(
        f"a sentence of {phones} phones{prompt} is too long for this bundle",
        code="engine/too-long",
        where=text[:60],
        hint="split the text into shorter sentences (marks in it, --cut), or convert with longer buckets",
    )


def check_voice(bundle: Bundle, voice: VoiceFeatures) -> None:
    """Refuses a voice that was made with another model than the bundle.

    Raises:
        EngineError: their digests differ.
    """
    if bundle.model_sha256 and voice.model_sha256 and bundle.model_sha256 != voice.model_sha256:
        raise EngineError(
            "the voice was enrolled with another checkpoint than the bundle was converted from",
            code="engine/voice-mismatch",
            where=bundle.label,
            hint="enrol it again with the checkpoint of this bundle",
        )
    if bundle.style_sha256 and bundle.style_sha256 != voice.style_sha256:
        raise EngineError(
            "the bundle has another voice folded into it",
            code="engine/voice-mismatch",
            where=bundle.label,
            hint="speak as the voice it was converted for, or convert a bundle for many voices",
        )


def _features(voice: VoiceFeatures, sentence: Sentence) -> np.ndarray | None:
    prompt = voice.arrays.get("prompt_bert")
    if prompt is None and sentence.bert is None:
        return None
    parts = (prompt, sentence.bert)
    width = next(len(part) for part in parts if part is not None)
    empty = [np.zeros((width, len(ids)), np.float32) for ids in (voice.arrays["prompt_phones"], sentence.phones)]
    return np.concatenate([zeros if part is None else part for part, zeros in zip(parts, empty, strict=True)], axis=1)
