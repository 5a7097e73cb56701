"""One whole sentence through every graph of a bundle, phase by phase."""

from __future__ import annotations

from toolkit.results.record import Record


class SentencePhases(Record):
    """Median times of one variant; ``vocoder_ms`` is what is left of the whole after the phases before it.

    The phases are medians of their own and need not add up to ``whole_ms``. ``first_audio_ms`` runs from phones to the
    first samples.
    """

    variant: str
    whole_ms: float
    first_audio_ms: float
    prefill_ms: float
    steps_ms: float
    acoustics_ms: float
    vocoder_ms: float


class Sentence(Record):
    """What was said, and what each variant took for it. The whole sentence's samples are ``total`` among latencies."""

    codes: int
    phones: int
    audio_seconds: float
    threads: int
    rounds: int
    phases: tuple[SentencePhases, ...]
    how: str
